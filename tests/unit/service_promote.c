/*
 * `region promote` and `region set-primary`: three small real regions, runs of
 * a schedule, and the daemon in this process.
 */
#include <jansson.h>

#include "base/json.h"
#include "service/args.h"
#include "service/client.h"
#include "service/operation.h"
#include "service/progress.h"
#include "tests/support/check_main.h"
#include "tests/support/failover_frame.h"

#define REPLY_MAX ((size_t)1 << 20)

static struct run_frame t;

/* What the last call said: its reply, or why there is none; notes. */
static struct {
	int failed;
	struct err e;
	json_t *reply;
	char notes[4096];
	int woken;
} said;

static void wake(void *arg UNUSED)
{
	said.woken++;
}

static int call(const struct operation *op, const struct args *args,
		json_sink *sink, void *arg, struct catalog *c,
		struct progress *progress, struct err *e)
{
	struct json *j = malloc(sizeof(*j));
	struct operation_call x = { .operation = op,
				    .args = args,
				    .reply = j,
				    .out_fd = -1,
				    .now = clock_now(),
				    .progress = progress,
				    .config = c ? t.config : NULL,
				    .catalog = c,
				    .wake = c ? wake : NULL };
	int failed;

	ck_assert_ptr_nonnull(j);
	json_init(j, sink, arg);
	failed = op->run(&x, e) || json_finish(j, e);
	free(j);
	return failed ? -1 : 0;
}

/* The daemon, in this process. */
int __wrap_client_call(const struct client_call *asked,
		       enum operation_outcome *ret, struct err *e);
int __wrap_client_call(const struct client_call *asked,
		       enum operation_outcome *ret, struct err *e)
{
	*ret = OPERATION_DONE;
	return call(asked->operation, asked->args, asked->sink, asked->arg,
		    t.f.c, NULL, e);
}

static void read_notes(FILE *f)
{
	size_t n;

	rewind(f);
	n = fread(said.notes, 1, sizeof(said.notes) - 1, f);
	said.notes[n] = '\0';
}

/* Pairs of names and values, up to a NULL; in the daemon or by hand. */
static void tell(const char *verb, struct catalog *c,
		 const char *const params[][2])
{
	const struct operation *op = operation_named(verb);
	CLEANUP(args_free) struct args *args = NULL;
	CLEANUP(buf_done) struct buf reply;
	struct progress *progress = NULL;
	FILE *notes = tmpfile();
	struct err e;

	ck_assert_ptr_nonnull(notes);
	json_decref(said.reply);
	memset(&said, 0, sizeof(said));
	buf_init(&reply, REPLY_MAX);
	ck_ok(args_new(&args, op, &e));
	for (size_t i = 0; params[i][0]; i++)
		if (params[i][1])
			ck_ok(args_add_str(args, params[i][0], params[i][1],
					   &e));
	ck_ok(args_finish(args, &e));
	ck_ok(progress_new(&progress, fileno(notes), PROGRESS_LINES, &e));
	said.failed = call(op, args, json_to_buf, &reply, c, progress, &said.e);
	progress_free(progress);
	read_notes(notes);
	(void)fclose(notes);
	if (!said.failed)
		said.reply = json_loads(buf_str(&reply), 0, NULL);
}

static void promote_of(const char *region, const char *repo, bool force)
{
	const char *const params[][2] = { { "name", region },
					  { "force", force ? "true" : NULL },
					  { "repo", repo },
					  { "key-file",
					    run_path(&t, "keys/main.key") },
					  { NULL, NULL } };

	tell("region promote", NULL, params);
}

static void promote(const char *region, bool force)
{
	promote_of(region, "main", force);
}

static void set_primary(const char *repository, const char *region,
			const char *was)
{
	const char *const params[][2] = { { "repository", repository },
					  { "region", region },
					  { "was", was },
					  { NULL, NULL } };

	tell("region set-primary", t.f.c, params);
}

/* ---- What is so afterwards ----------------------------------------------- */

static const char *text_of(const char *key)
{
	const char *text = json_string_value(json_object_get(said.reply, key));

	return text ? text : "";
}

static int64_t number_of(const char *key)
{
	const json_t *v = json_object_get(said.reply, key);

	ck_assert(json_is_integer(v));
	return json_integer_value(v);
}

static size_t length_of(const char *key)
{
	const json_t *v = json_object_get(said.reply, key);

	ck_assert(json_is_array(v));
	return json_array_size(v);
}

static void expect_done(int64_t missing)
{
	ck_assert_msg(!said.failed, "%s", said.e.text);
	ck_assert_str_eq(text_of("repository"), "main");
	ck_assert_str_eq(text_of("region"), "b");
	ck_assert_str_eq(text_of("was"), "a");
	ck_assert_int_eq(number_of("missing"), missing);
}

/* So many days, of runs that took some seconds each. */
static void expect_behind(int64_t days)
{
	ck_assert_int_gt(number_of("behind_seconds"), days * DAY - DAY / 2);
	ck_assert_int_lt(number_of("behind_seconds"), days * DAY + DAY / 2);
}

static void expect_failed(enum err_code code, const char *text)
{
	ck_assert(said.failed);
	ck_assert_msg(said.e.code == code && strstr(said.e.text, text),
		      "%s: %s, not \"%s\"", err_kind(said.e.code)->name,
		      said.e.text, text);
}

static void expect_rows(int64_t n, const char *where)
{
	char sql[600];

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", where);
	ck_assert_msg(frame_count(&t.f, sql) == n, "%s: %d, not %d", where,
		      (int)frame_count(&t.f, sql), (int)n);
}

#define PRIMARY                                                      \
	"resources, json_each(spec, '$.regions') AS r WHERE kind = " \
	"'Repository' AND name = 'main' AND r.value ->> '$.primary'"
#define COPIES                                                           \
	"resources, json_each(spec, '$.replicateTo') AS r WHERE kind = " \
	"'Schedule' AND "

/* By what is declared, by what is known and by the records. */
static void expect_primary(char region)
{
	expect_rows(1, PRIMARY);
	expect_rows(region == 'b', PRIMARY " AND r.value ->> '$.name' = 'b'");
	expect_rows(region == 'b', COPIES "name = 'nightly' AND r.value = 'a'");
	expect_rows(region == 'a', COPIES "name = 'nightly' AND r.value = 'b'");
	expect_rows(1, COPIES "name = 'nightly' AND r.value = 'c'");
	expect_rows(1, "regions WHERE is_primary");
	expect_rows(region == 'b', "regions WHERE is_primary AND region = 'b'");
	expect_rows(region == 'b', "audit WHERE action = 'region.promote'");
}

/* The newest of them, by its id. */
static void newest(const char *region, char id[OBJECT_ID_TEXT])
{
	CLEANUP(repository_close)
	struct repository *r = run_repository(&t, region);
	CLEANUP(repository_snapshot_done) struct repository_snapshot s;

	manifest_init(&s.manifest);
	ok(&t.f, repository_find(r, "latest", "web", false, &s, NULL, &t.f.e));
	object_id_format(s.manifest.snapshot, id);
}

/* ---- Nothing stands against it ------------------------------------------- */

START_TEST(it_has_all)
{
	const json_t *changed;

	run_apply(&t, "Schedule", "weekly", NULL,
		  "{\"cron\":\"0 1 * * 0\",\"sources\":{\"names\":[\"web\"]},"
		  "\"repository\":\"main\",\"policy\":\"gold\","
		  "\"replicateTo\":[\"c\"]}");
	run_apply(&t, "Repository", "other", NULL,
		  "{\"keyFile\":\"main.key\",\"regions\":[{\"name\":\"b\","
		  "\"url\":\"file:///b\"},{\"name\":\"a\",\"url\":"
		  "\"file:///a\"}]}");
	run_apply(&t, "Schedule", "foreign", NULL,
		  "{\"cron\":\"0 1 * * 0\",\"sources\":{\"names\":[\"web\"]},"
		  "\"repository\":\"other\",\"policy\":\"gold\","
		  "\"replicateTo\":[\"b\"]}");
	promote("b", false);
	expect_done(0);
	ck_assert_str_eq(said.notes, "");
	ck_assert_int_eq(said.woken, 1);
	ck_assert_uint_eq(length_of("lacks"), 0);
	ck_assert_int_eq(number_of("let_go"), 0);
	ck_assert_int_eq(number_of("behind_seconds"), 0);
	ck_assert_ptr_nonnull(
		strstr(text_of("note"), "primary: true of \"b\""));
	ck_assert_uint_eq(length_of("changed"), 2);
	changed = json_array_get(json_object_get(said.reply, "changed"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(changed, "kind")),
			 "Repository");
	ck_assert_uint_gt(
		json_array_size(json_object_get(changed, "difference")), 0);
	changed = json_array_get(json_object_get(said.reply, "changed"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(changed, "name")),
			 "nightly");
	ck_assert_int_gt(
		json_integer_value(json_object_get(changed, "version")), 1);
	expect_primary('b');
	expect_rows(1, COPIES "name = 'weekly' AND r.value = 'c'");
	expect_rows(1, COPIES "name = 'foreign' AND r.value = 'b'");
	expect_rows(1, "audit WHERE action = 'region.promote' AND object = "
		       "'Repository/main' AND details = '{\"repository\":"
		       "\"main\",\"region\":\"b\",\"was\":\"a\"}'");
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	expect_live(&t, 2, 2, 2);
}
END_TEST

/* More schedules than room is made for at first. */
START_TEST(each_schedule_that_copied_to_it_copies_to_the_old_one)
{
	char name[16];

	for (int i = 0; i < 9; i++) {
		(void)snprintf(name, sizeof(name), "more-%d", i);
		run_apply(&t, "Schedule", name, NULL,
			  "{\"cron\":\"0 1 * * 0\",\"sources\":{\"names\":["
			  "\"web\"]},\"repository\":\"main\",\"policy\":"
			  "\"gold\",\"replicateTo\":[\"c\",\"b\"]}");
	}
	promote("b", false);
	expect_done(0);
	ck_assert_uint_eq(length_of("changed"), 11);
	expect_rows(9, COPIES "name LIKE 'more-%' AND r.value = 'a'");
	expect_rows(9, COPIES "name LIKE 'more-%' AND r.value = 'c'");
	expect_rows(0, COPIES "name LIKE 'more-%' AND r.value = 'b'");
	expect_primary('b');
}
END_TEST

/* It is written down once, and changes nothing when said again. */
START_TEST(it_is_so_already)
{
	promote("b", false);
	expect_done(0);
	promote("b", false);
	ck_assert_msg(!said.failed, "%s", said.e.text);
	ck_assert_str_eq(text_of("region"), "b");
	ck_assert_str_eq(text_of("was"), "b");
	ck_assert_str_eq(text_of("note"), "");
	ck_assert_uint_eq(length_of("changed"), 0);
	expect_primary('b');
	expect_rows(3, "resource_versions AS v JOIN resources AS r ON r.id = "
		       "v.resource WHERE kind = 'Repository'");
}
END_TEST

/* ---- It lacks some ------------------------------------------------------- */

/* So many days on which b is away. */
static void days_without(int from, int until)
{
	move(&t, "b", "away");
	for (int i = from; i <= until; i++)
		ck_assert_int_eq(day(&t, i), RUN_PARTIAL);
	move(&t, "away", "b");
}

START_TEST(what_it_lacks_stands_against_it)
{
	char id[OBJECT_ID_TEXT];
	char text[200];

	days_without(1, 1);
	newest("a", id);
	(void)snprintf(text, sizeof(text),
		       "region \"b\" lacks 1 snapshot that \"a\" has (%.12s), "
		       "and is ",
		       id);
	promote("b", false);
	expect_failed(ERR_DENIED, text);
	ck_assert_str_eq(strstr(said.e.text, " behind"), " behind");
	ck_assert_ptr_nonnull(strstr(said.e.hint, "replicate --to b"));
	expect_primary('a');
	days_without(2, 4);
	promote("b", false);
	expect_failed(ERR_DENIED, "lacks 4 snapshots that \"a\" has (");
	ck_assert_ptr_nonnull(strstr(said.e.text, ", …), and is "));
	expect_primary('a');
	newest("a", id);
	promote("b", true);
	expect_done(4);
	ck_assert_ptr_nonnull(strstr(said.notes, "warning: region \"b\" lacks "
						 "4 snapshots"));
	ck_assert_uint_eq(length_of("lacks"), 4);
	ck_assert_str_eq(json_string_value(json_array_get(
				 json_object_get(said.reply, "lacks"), 0)),
			 id);
	expect_behind(4);
	expect_primary('b');
	expect_rows(1, "audit WHERE action = 'region.promote' AND details ->> "
		       "'$.found' LIKE 'region \"b\" lacks 4 snapshots%'");
	/* They follow. */
	ck_assert_int_eq(day(&t, 5), RUN_SUCCEEDED);
	expect_live(&t, 6, 6, 6);
}
END_TEST

/* Three are told of as they are, and more than three not. */
START_TEST(three_are_named)
{
	days_without(1, 3);
	promote("b", false);
	expect_failed(ERR_DENIED, "lacks 3 snapshots");
	ck_assert_ptr_null(strstr(said.e.text, "…"));
}
END_TEST

#define UNREAD                                                                 \
	"1 snapshot that \"a\" lists can be read neither there nor in \"b\": " \
	"input/output error"

/* What the disk of the old one does not give is nothing that the other has. */
START_TEST(what_cannot_be_read_stands_against_it)
{
	days_without(1, 1);
	hide_newest(&t, "a");
	promote("b", false);
	expect_failed(ERR_IO, UNREAD);
	ck_assert_str_eq(said.e.text, UNREAD);
	ck_assert_ptr_nonnull(strstr(said.e.hint, "repo check"));
	expect_primary('a');
	promote("b", true);
	refuse_nothing();
	expect_done(0);
	ck_assert_ptr_nonnull(strstr(said.notes, "warning: " UNREAD));
	ck_assert_int_eq(number_of("unread"), 1);
	expect_primary('b');
}
END_TEST

/* Of one that was deleted nothing has to be read. */
START_TEST(what_was_deleted_need_not_be_read)
{
	struct refusal hidden;

	days_without(1, 1);
	hide_newest(&t, "a");
	hidden = refusal;
	refuse_nothing();
	delete_in(&t, "a");
	refusal = hidden;
	promote("b", false);
	refuse_nothing();
	expect_done(0);
	ck_assert_int_eq(number_of("unread"), 0);
	expect_primary('b');
}
END_TEST

START_TEST(what_is_lacking_and_what_cannot_be_read_are_told)
{
	days_without(1, 2);
	hide_newest(&t, "a");
	promote("b", false);
	expect_failed(ERR_IO, "region \"b\" lacks 1 snapshot that");
	ck_assert_ptr_nonnull(strstr(said.e.text, "; " UNREAD));
	ck_assert_ptr_nonnull(strstr(said.e.hint, "replicate --to b"));
	expect_primary('a');
}
END_TEST

/* A deletion that does not open might come back as what was deleted. */
START_TEST(a_deletion_that_cannot_be_read_takes_force)
{
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	delete_in(&t, "a");
	refuse("a", FAULT_READ, ERR_IO, "tombstones/");
	refusal.fault.sys = EIO;
	promote("b", false);
	expect_failed(ERR_IO, "what was deleted in region \"a\" cannot be "
			      "passed on to \"b\"");
	ck_assert_ptr_nonnull(strstr(said.e.text, "input/output error"));
	expect_primary('a');
	promote("b", true);
	refuse_nothing();
	expect_done(0);
	ck_assert_ptr_nonnull(strstr(said.notes, "warning: what was deleted"));
	expect_primary('b');
}
END_TEST

/* It is there, and cannot be read: that it is lacking is not all. */
START_TEST(what_it_cannot_give_is_told)
{
	hide_newest(&t, "b");
	promote("b", false);
	expect_failed(ERR_IO, "region \"b\" lacks 1 snapshot that");
	ck_assert_ptr_nonnull(strstr(said.e.text,
				     "; of \"b\" 1 manifest or record does not "
				     "open: input/output error"));
	expect_primary('a');
}
END_TEST

/* Nothing at all is there: it is as old as what it lacks. */
START_TEST(it_has_none)
{
	move(&t, "b", "away");
	settle(&t, "b");
	run_clock(&t, 1700000000 + 3 * DAY);
	promote("b", true);
	expect_done(1);
	expect_behind(3);
	expect_primary('b');
}
END_TEST

/* ---- The old one is away ------------------------------------------------- */

START_TEST(what_is_known_has_to_do)
{
	move(&t, "a", "away");
	promote("b", false);
	expect_done(0);
	ck_assert_ptr_nonnull(
		strstr(said.notes, "region \"a\" cannot be asked ("));
	ck_assert_ptr_null(strstr(said.notes, "warning"));
	ck_assert_int_eq(number_of("behind_seconds"), 0);
	expect_primary('b');
}
END_TEST

START_TEST(what_is_known_to_be_lacking_stands_against_it)
{
	char id[OBJECT_ID_TEXT];

	days_without(1, 2);
	newest("a", id);
	move(&t, "a", "away");
	promote("b", false);
	expect_failed(ERR_DENIED, "lacks 2 snapshots that \"a\" has (");
	ck_assert_ptr_nonnull(
		strstr(said.e.text, " behind, as far as is known"));
	expect_primary('a');
	promote("b", true);
	expect_done(2);
	ck_assert_uint_eq(length_of("lacks"), 2);
	ck_assert_str_eq(json_string_value(json_array_get(
				 json_object_get(said.reply, "lacks"), 0)),
			 id);
	expect_behind(2);
	expect_primary('b');
}
END_TEST

/* A stranger's repository lies there: a person has to look. */
START_TEST(what_is_no_answer_is_no_absence)
{
	move(&t, "a", "away");
	refuse("a", FAULT_READ, ERR_NEWER, "");
	move(&t, "away", "a");
	promote("b", true);
	refuse_nothing();
	expect_failed(ERR_NEWER, "");
	expect_primary('a');
}
END_TEST

START_TEST(it_does_not_open)
{
	move(&t, "b", "away");
	promote("b", true);
	expect_failed(ERR_NOT_FOUND, "region \"b\" cannot be the primary");
	expect_primary('a');
}
END_TEST

/* ---- Deletions ----------------------------------------------------------- */

START_TEST(what_was_deleted_does_not_come_back)
{
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	delete_in(&t, "a");
	promote("b", false);
	expect_done(0);
	ck_assert_int_eq(run_counts(&t, "b").live, 1);
	ck_assert_int_eq(run_counts(&t, "b").deleted, 1);
}
END_TEST

START_TEST(deletions_that_are_not_told_take_force)
{
	ck_assert_int_eq(day(&t, 1), RUN_SUCCEEDED);
	delete_in(&t, "a");
	refuse("b", FAULT_COMMIT, ERR_IO, "tombstones/");
	promote("b", false);
	expect_failed(ERR_IO, "what was deleted in region \"a\" cannot be "
			      "passed on to \"b\"");
	ck_assert_ptr_nonnull(strstr(said.e.hint, "--force"));
	expect_primary('a');
	refuse("b", FAULT_COMMIT, ERR_NO_MEMORY, "tombstones/");
	promote("b", true);
	expect_failed(ERR_NO_MEMORY, "cannot be passed on");
	expect_primary('a');
	refuse("b", FAULT_COMMIT, ERR_IO, "tombstones/");
	promote("b", true);
	refuse_nothing();
	expect_done(0);
	ck_assert_ptr_nonnull(strstr(said.notes, "warning: what was deleted"));
	expect_primary('b');
}
END_TEST

/* ---- Rules of its own ---------------------------------------------------- */

/* Region b keeps two; a all. */
static void declare_warm(void)
{
	char spec[4 * SCRATCH_PATH];

	run_apply(&t, "Policy", "few", NULL,
		  "{\"retention\":{\"keep-last\":1}}");
	(void)snprintf(
		spec, sizeof(spec),
		"{\"keyFile\":\"main.key\",\"regions\":["
		"{\"name\":\"a\",\"primary\":true,\"url\":\"file://%s\"},"
		"{\"name\":\"b\",\"url\":\"file://%s\",\"policy\":"
		"\"few\"},{\"name\":\"c\",\"url\":\"file://%s\"}]}",
		run_path(&t, "a"), run_path(&t, "b"), run_path(&t, "c"));
	run_apply(&t, "Repository", "main", NULL, spec);
}

START_TEST(what_its_rules_let_go_of_is_no_loss)
{
	declare_warm();
	days_without(1, 3);
	/* It would keep the newest alone. */
	promote("b", false);
	expect_failed(ERR_DENIED, "lacks 1 snapshot that");
	ck_assert_ptr_nonnull(strstr(said.notes,
				     "note: 2 older snapshots stay in region "
				     "\"a\", as the rules of \"b\""));
	expect_primary('a');
	promote("b", true);
	expect_done(1);
	ck_assert_int_eq(number_of("let_go"), 2);
	ck_assert_uint_eq(length_of("lacks"), 1);
}
END_TEST

/* ---- What makes no sense ------------------------------------------------- */

START_TEST(requests_without_sense)
{
	promote_of("b", run_path(&t, "a"), false);
	expect_failed(ERR_USAGE, "a location has no primary region");
	ck_assert_ptr_nonnull(strstr(said.e.hint, "by name"));
	promote(run_path(&t, "b"), false);
	expect_failed(ERR_USAGE, "is no name of a region");
	promote("d", false);
	expect_failed(ERR_NOT_FOUND, "\"d\"");
	set_primary("main", "d", NULL);
	expect_failed(ERR_NOT_FOUND,
		      "repository \"main\" declares no region \"d\"");
	set_primary("nobody", "b", NULL);
	expect_failed(ERR_NOT_FOUND, "nobody");
	set_primary("main", "b", "c");
	expect_failed(ERR_BUSY, "region \"a\" is the primary by now, not "
				"\"c\"");
	ck_assert_int_eq(said.woken, 0);
	expect_primary('a');
	set_primary("main", "b", "a");
	ck_assert_msg(!said.failed, "%s", said.e.text);
	ck_assert_int_eq(said.woken, 1);
	expect_primary('b');
}
END_TEST

static void set_up(void)
{
	begin(&t, true);
	ck_assert_int_eq(setenv("SNAPCTL_ETC", run_path(&t, "etc"), 1), 0);
	ck_assert_int_eq(setenv("SNAPCTL_STATE", run_path(&t, "state"), 1), 0);
	ck_assert_int_eq(day(&t, 0), RUN_SUCCEEDED);
}

static void tear_down(void)
{
	json_decref(said.reply);
	said.reply = NULL;
	refuse_nothing();
	run_done(&t);
}

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, it_has_all);
	tcase_add_test(tc,
		       each_schedule_that_copied_to_it_copies_to_the_old_one);
	tcase_add_test(tc, it_is_so_already);
	tcase_add_test(tc, what_it_lacks_stands_against_it);
	tcase_add_test(tc, three_are_named);
	tcase_add_test(tc, what_cannot_be_read_stands_against_it);
	tcase_add_test(tc, what_it_cannot_give_is_told);
	tcase_add_test(tc, what_was_deleted_need_not_be_read);
	tcase_add_test(tc, what_is_lacking_and_what_cannot_be_read_are_told);
	tcase_add_test(tc, a_deletion_that_cannot_be_read_takes_force);
	tcase_add_test(tc, it_has_none);
	tcase_add_test(tc, what_is_known_has_to_do);
	tcase_add_test(tc, what_is_known_to_be_lacking_stands_against_it);
	tcase_add_test(tc, what_is_no_answer_is_no_absence);
	tcase_add_test(tc, it_does_not_open);
	tcase_add_test(tc, what_was_deleted_does_not_come_back);
	tcase_add_test(tc, deletions_that_are_not_told_take_force);
	tcase_add_test(tc, what_its_rules_let_go_of_is_no_loss);
	tcase_add_test(tc, requests_without_sense);
}

CHECK_MAIN("service/promote", cases)
