/*
 * Buckets that keep versions: what is asked of them and how often, what
 * somebody else puts on top of what is there, and lists of versions of all
 * kinds.
 */
#include "tests/support/raw_server.h"
#include "tests/support/s3_lock_frame.h"

static struct raw_server raw;

/* ---- requests ------------------------------------------------------------ */

START_TEST(where_no_versions_are_kept_nothing_costs_more)
{
	set_up("plain", "");
	put("a", "1");
	expect("a", "1");
	expect_list("a=1 ");
	ck_ok(store_remove(store, "a", &e));
	expect_none("a");
	put_to(store, "s", "1", STORE_REPLACE);
	put_to(store, "s", "2", STORE_REPLACE);
	expect_count("GetBucketVersioning", 1);
	expect_count("ListObjectVersions", 0);
	expect_count("ListObjectsV2", 1);
	expect_count("DeleteObject", 1);
	expect_count("PutObject", 3);
	tear_down();
	/* Whoever reads first need not even ask. */
	set_up("plain", "");
	put("a", "1");
	store_close(store);
	store = opened("plain", server.port, "");
	reset_counts();
	expect("a", "1");
	expect_list("a=1 ");
	expect_count("GetBucketVersioning", 0);
	tear_down();
}
END_TEST

START_TEST(where_they_are_reads_cost_as_much_as_elsewhere)
{
	set_up("locked", "");
	put("a", "1");
	put("b", "2");
	/* Whether a name is taken, its versions say. */
	expect_count("GetObject", 0);
	expect_count("ListObjectVersions", 2);
	expect_count("PutObject", 2);
	store_close(store);
	store = opened("locked", server.port, "");
	reset_counts();
	expect("a", "1");
	expect("b", "2");
	expect_count("GetObject", 4);
	expect_list("a=1 b=1 ");
	expect_count("GetBucketVersioning", 0);
	expect_count("ListObjectVersions", 1);
	expect_count("ListObjectsV2", 0);
	tear_down();
}
END_TEST

START_TEST(who_may_not_ask_for_versions_goes_on_until_a_reply_tells)
{
	struct buf b;
	struct store *other;

	set_up("plain", "");
	put("a", "1");
	other = opened_as("plain", "AKIDPLAIN",
			  "^(List|Get|Put|Delete)Object(sV2)? ");
	ck_ok(list_of(other, &b));
	ck_assert_str_eq(buf_str(&b), "a=1 ");
	buf_done(&b);
	ck_ok(store_remove(other, "a", &e));
	ck_ok(store_remove(other, "a", &e));
	expect_count("GetBucketVersioning", 2); /* one of each */
	store_close(other);
	tear_down();
	/* A deletion is put, and taken away again. */
	set_up("locked", "");
	put("a", "1");
	put("b", "1");
	other = opened_as("locked", "AKIDLOCKED", "^(?!GetBucketVersioning)");
	ck_ok(store_remove(other, "a", &e));
	ck_assert_uint_eq(versions_in("locked"), 1);
	store_close(other);
	/* A list that would keep to deletions says what is missing. */
	other = opened_as("locked", "AKIDLISTS",
			  "^(List|Get|Put|Delete)Object(sV2)? ");
	put_to(other, "c", "1", 0);
	ck_assert_int_eq(list_of(other, &b), -1);
	ck_assert_int_eq(e.code, ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(e.hint, "s3:ListBucketVersions"));
	buf_done(&b);
	store_close(other);
	tear_down();
}
END_TEST

/* ---- what others put on top ---------------------------------------------- */

START_TEST(a_deletion_hides_nothing)
{
	set_up("locked", "");
	put("data/aa/1", "pack");
	put("receipts/1", "receipt");
	put("z", "1");
	put_on_top("locked", "data/aa/1", DELETED, 3);
	put_on_top("locked", "receipts/1", DELETED, 1);
	put_on_top("locked", "never", DELETED, 2);
	expect("data/aa/1", "pack");
	expect("receipts/1", "receipt");
	expect_none("never");
	expect_list("data/aa/1=4 receipts/1=7 z=1 ");
	ck_assert_int_eq(store_put(store, "receipts/1", "x", 1, 0, &e), -1);
	ck_assert_int_eq(e.code, ERR_EXISTS);
	/* A pack is read in many pieces: it is looked for once. */
	reset_counts();
	expect("data/aa/1", "pack");
	expect_count("ListObjectVersions", 0);
	/* Guards are of what is read. */
	ck_assert_int_eq(store_guard(store, "receipts/1", in_s(HOUR), &e), 1);
	ck_assert_int_eq(store_hold(store, "receipts/1", true, &e), 1);
	ck_assert_uint_eq(told_in("locked", "\"held\": true"), 1);
	ck_assert_int_eq(store_hold(store, "receipts/1", false, &e), 1);
	ck_assert_uint_eq(told_in("locked", "\"COMPLIANCE\""), 1);
	ck_assert_int_eq(store_guard(store, "never", in_s(HOUR), &e), 0);
	ck_assert_int_eq(store_hold(store, "never", true, &e), 0);
	/* What was removed is gone with all its deletions. */
	ck_ok(store_remove(store, "data/aa/1", &e));
	ck_ok(store_remove(store, "never", &e));
	expect_list("receipts/1=7 z=1 ");
	ck_assert_uint_eq(versions_in("locked"), 3);
	tear_down();
}
END_TEST

START_TEST(reads_turn_to_what_is_below)
{
	char out[8];
	size_t got;

	set_up("locked", "");
	put("data/aa/1", "first");
	put_on_top("locked", "data/aa/1", FORGED, 1);
	put_on_top("locked", "data/aa/1", DELETED, 1);
	put_on_top("locked", "data/aa/1", "\"dGhpcmQh\"", 1);
	expect("data/aa/1", "third!");
	expect_list("data/aa/1=6 ");
	ck_assert_int_eq(store_turn(store, "data/aa/1", 1, &e), 1);
	expect("data/aa/1", "first");
	expect_list("data/aa/1=5 ");
	ck_assert_int_eq(store_turn(store, "data/aa/1", 2, &e), 1);
	expect("data/aa/1", "forged");
	ck_assert_int_eq(store_turn(store, "data/aa/1", 3, &e), 1);
	expect("data/aa/1", "third!");
	/* There is none such: nothing changes. */
	ck_assert_int_eq(store_turn(store, "data/aa/1", 1, &e), 1);
	ck_assert_int_eq(store_turn(store, "data/aa/1", 4, &e), 0);
	expect("data/aa/1", "first");
	ck_assert_int_eq(store_turn(store, "data/aa/1", 0, &e), 1);
	expect("data/aa/1", "third!");
	ck_assert_int_eq(store_turn(store, "data/aa/2", 1, &e), 0);
	ck_assert_int_eq(store_turn(store, "data/aa/2", 0, &e), 0);
	/* Nor is anything kept of what was read before. */
	ck_assert_int_eq(store_read(store, "data/aa/1", 0, out, 3, &got, &e),
			 1);
	ck_assert_int_eq(store_read(store, "data/aa/1", 3, out, 2, &got, &e),
			 1);
	ck_assert_mem_eq(out, "rd", 2);
	ck_assert_int_eq(store_turn(store, "data/aa/1", 1, &e), 1);
	ck_assert_int_eq(store_read(store, "data/aa/1", 3, out, 2, &got, &e),
			 1);
	ck_assert_mem_eq(out, "st", 2);
	/* It is forgotten with the object. */
	ck_ok(store_remove(store, "data/aa/1", &e));
	ck_assert_uint_eq(versions_in("locked"), 0);
	put("data/aa/1", "again");
	expect("data/aa/1", "again");
	tear_down();
}
END_TEST

START_TEST(where_no_versions_are_kept_there_is_one)
{
	set_up("plain", "");
	put("a", "1");
	ck_assert_int_eq(store_turn(store, "a", 0, &e), 1);
	ck_assert_int_eq(store_turn(store, "a", 1, &e), 1);
	ck_assert_int_eq(store_turn(store, "a", 2, &e), 0);
	ck_assert_int_eq(store_turn(store, "b", 1, &e), 0);
	expect("a", "1");
	tear_down();
}
END_TEST

/* Reads, while it is visited, what was fetched before it turned. */
static int turn_and_read(void *arg, const struct store_entry *entry,
			 struct err *err)
{
	unsigned int *n = arg;
	char out[16];
	size_t got = 0;

	if (store_read(store, entry->name, 0, out, sizeof(out), &got, err) !=
		    1 ||
	    got != 6 || memcmp(out, "forged", 6) != 0)
		return err_set(err, ERR_BUG, "before: %.*s", (int)got, out);
	if (store_turn(store, entry->name, 1, err) != 1 ||
	    store_read(store, entry->name, 0, out, sizeof(out), &got, err) != 1)
		return err_set(err, ERR_BUG, "it does not turn");
	if (got != 2 || memcmp(out, "ok", 2) != 0)
		return err_set(err, ERR_BUG, "after: %.*s", (int)got, out);
	++*n;
	return 0;
}

START_TEST(what_was_fetched_ahead_is_not_read_after_a_turn)
{
	char name[32];
	unsigned int n = 0;

	set_up("locked", "");
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "r/%02d", i);
		put(name, "ok");
		put_on_top("locked", name, FORGED, 1);
	}
	if (store_list_reading(store, "r/", turn_and_read, &n, &e))
		ck_abort_msg("%s", e.text);
	ck_assert_uint_eq(n, 20);
	tear_down();
}
END_TEST

/* ---- replacing ------------------------------------------------------------
 */

START_TEST(what_is_replaced_does_not_pile_up)
{
	set_up("locked", "");
	put("sessions/1", "0");
	for (int i = 0; i < 5; i++)
		put_to(store, "sessions/1", "beat", STORE_REPLACE);
	ck_assert_uint_eq(versions_in("locked"), 1);
	/* Once to find what was there before; then it is known. */
	expect_count("ListObjectVersions", 2);
	expect_count("DeleteObject", 5);
	expect("sessions/1", "beat");
	tear_down();
}
END_TEST

START_TEST(who_may_not_remove_is_refused_once)
{
	struct store *writer;

	set_up("locked", "");
	writer = opened_as("locked", "AKIDWRITER", "^(?!DeleteObject)");
	for (int i = 0; i < 5; i++)
		put_to(writer, "sessions/1", "beat", STORE_REPLACE);
	ck_assert_uint_eq(versions_in("locked"), 5);
	expect_count("DeleteObject", 1);
	store_close(writer);
	/* Whoever may removes what was left. */
	ck_ok(store_remove(store, "sessions/1", &e));
	ck_assert_uint_eq(versions_in("locked"), 0);
	tear_down();
}
END_TEST

/* Versions that were kept are no longer: the new one has the old one's id. */
START_TEST(where_versions_are_no_longer_kept_the_new_one_stays)
{
	set_rule("suspended", NULL);
	(void)s3_server_tell(&server,
			     "{\"do\": \"versioning\", \"bucket\": "
			     "\"suspended\", \"status\": \"Suspended\"}");
	set_up("suspended", "");
	for (int i = 0; i < 3; i++) {
		put_to(store, "sessions/1", "beat", STORE_REPLACE);
		expect("sessions/1", "beat");
	}
	ck_ok(store_remove(store, "sessions/1", &e));
	expect_none("sessions/1");
	ck_assert_uint_eq(versions_in("suspended"), 0);
	tear_down();
}
END_TEST

/* ---- lists of versions ----------------------------------------------------
 */

static int list_after(struct store *s, struct buf *b)
{
	buf_init(b, 1 << 16);
	return store_list_after(s, "a", collect, b, &e);
}

START_TEST(versions_of_a_name_may_fill_pages)
{
	struct buf b;

	set_up("locked", "");
	put("a", "a");
	put("data/aa/1", "first");
	put_on_top("locked", "data/aa/1", FORGED, 2100);
	put("z", "z");
	expect_list("a=1 data/aa/1=6 z=1 ");
	expect_count("ListObjectVersions", 3 + 3); /* and of the three puts */
	ck_assert_int_eq(store_turn(store, "data/aa/1", 1, &e), 1);
	expect("data/aa/1", "first");
	expect_list("a=1 data/aa/1=5 z=1 ");
	/* Also those that come after another name, or after its own. */
	ck_ok(list_after(store, &b));
	ck_assert_str_eq(buf_str(&b), "data/aa/1=5 z=1 ");
	buf_done(&b);
	ck_assert_ptr_nonnull(strstr(
		s3_server_tell(&server, "{\"do\": \"log\"}"), "%2Fa&max-keys"));
	ck_assert_int_eq(store_turn(store, "data/aa/1", 2101, &e), 1);
	expect("data/aa/1", "forged");
	ck_assert_int_eq(store_turn(store, "data/aa/1", 2102, &e), 0);
	tear_down();
}
END_TEST

START_TEST(a_list_of_versions_that_cannot_be_had_whole_fails)
{
	static const struct {
		const char *kind;
		const char *more;
		enum err_code code;
	} rows[] = {
		{ "garbage", "", ERR_IO },
		{ "bomb", "", ERR_IO },
		{ "cut_body", ", \"bytes\": 400", ERR_IO },
		{ "error", ", \"code\": \"AccessDenied\"", ERR_DENIED },
		{ "error", ", \"code\": \"NoSuchBucket\"", ERR_NOT_FOUND },
		{ "endless_list", ", \"next\": 9", ERR_IO },
	};
	struct buf b;

	set_up("locked", "");
	put("a", "1");
	put("b", "2");
	put_on_top("locked", "b", FORGED, 1100);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fault("ListObjectVersions", rows[i].kind, rows[i].more);
		ck_assert_int_eq(list_of(store, &b), -1);
		/* A page may be told of before the next one is wrong. */
		if (e.code != rows[i].code || (b.len && rows[i].kind[0] != 'e'))
			ck_abort_msg("%s: %s (%s)", rows[i].kind, e.text,
				     buf_str(&b));
		buf_done(&b);
		(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
		fault("ListObjectVersions", rows[i].kind, rows[i].more);
		ck_assert_int_eq(list_after(store, &b), -1);
		ck_assert_int_eq(e.code, rows[i].code);
		buf_done(&b);
		(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
		/* Nor is anything else done by it. */
		fault("ListObjectVersions", rows[i].kind, rows[i].more);
		ck_assert_int_eq(store_remove(store, "a", &e), -1);
		ck_assert_int_eq(e.code, rows[i].code);
		(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
		fault("ListObjectVersions", rows[i].kind, rows[i].more);
		ck_assert_int_eq(store_turn(store, "b", 1, &e), -1);
		ck_assert_int_eq(e.code, rows[i].code);
		(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	}
	/* Its second page, of which the first is told of by then. */
	fault("ListObjectVersions", "error",
	      ", \"code\": \"AccessDenied\", \"after\": 1");
	ck_assert_int_eq(list_of(store, &b), -1);
	buf_done(&b);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	fault("ListObjectVersions", "error",
	      ", \"code\": \"AccessDenied\", \"after\": 1");
	ck_assert_int_eq(store_remove(store, "b", &e), -1);
	(void)s3_server_tell(&server, "{\"do\": \"clear\"}");
	ck_assert_uint_eq(versions_in("locked"), 1102);
	expect_list("a=1 b=6 ");
	tear_down();
}
END_TEST

static void serve_reply(struct raw_server *r, int fd, unsigned int n UNUSED)
{
	while (raw_request(r, fd)) {
		if (!raw_reply(r, fd))
			break;
	}
}

/* "@" in rows becomes the prefix. */
static const char *versions_reply(const char *rows)
{
	static char text[4096];
	char xml[3000] = "<ListVersionsResult><IsTruncated>false</IsTruncated>";
	size_t used = strlen(xml);
	int n;

	for (; *rows; rows++) {
		if (*rows == '@')
			used += (size_t)snprintf(xml + used, sizeof(xml) - used,
						 "%s", prefix);
		else
			xml[used++] = *rows;
	}
	n = snprintf(xml + used, sizeof(xml) - used, "</ListVersionsResult>");
	(void)snprintf(text, sizeof(text),
		       "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
		       (int)used + n, xml);
	return text;
}

#define VERSION(name, id)                            \
	"<Version><Key>" name "</Key><VersionId>" id \
	"</VersionId><Size>1</Size></Version>"
#define DELETION(name, id)                                \
	"<DeleteMarker><Key>" name "</Key><VersionId>" id \
	"</VersionId></DeleteMarker>"

START_TEST(odd_lists_of_versions)
{
	static const struct {
		const char *rows;
		const char *told; /* NULL: it fails */
		int turned;	  /* to the first of "a" */
	} rows[] = {
		{ VERSION("@/a", "2") VERSION("@/a", "1") VERSION("@/a-b", "1"),
		  "a=1 a-b=1 ", 1 },
		/* Deletions, in between or all behind. */
		{ DELETION("@/a", "3") VERSION("@/a", "2")
			  DELETION("@/a-b", "1"),
		  "a=1 ", 1 },
		{ VERSION("@/a", "2") VERSION("@/a-b", "1")
			  DELETION("@/a", "3"),
		  "a=1 a-b=1 ", 1 },
		{ DELETION("@/a", "3"), "", 0 },
		{ "", "", 0 },
		{ VERSION("@/a-b", "1") VERSION("@/a", "1"), NULL, 0 },
		{ VERSION("@/a", "1") VERSION("@/a-b", "1") VERSION("@/a", "0"),
		  NULL, 1 },
		{ VERSION("@/a", "1") VERSION("zzz/b", "1"), NULL, -1 },
		{ VERSION("@/a", "") VERSION("@/a-b", "1"), NULL, -1 },
		{ "<Version><Key>@/a</Key><VersionId>1</VersionId></Version>",
		  NULL, -1 },
		{ "<Version><Key>@/a</Key><Size>1</Size></Version>", NULL, -1 },
	};
	char c;
	size_t got;

	raw_start(&raw, serve_reply);
	scratch_init(&dir);
	(void)snprintf(prefix, sizeof(prefix), "odd");
	store = opened("locked", raw.port, "");
	/* It learns from a reply that there are versions. */
	raw_will_say(&raw, "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n"
			   "x-amz-version-id: x\r\nContent-Length: 1\r\n\r\na");
	ck_assert_int_eq(store_read(store, "k", 0, &c, 1, &got, &e), 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b;
		int r;

		raw_will_say(&raw, versions_reply(rows[i].rows));
		r = list_of(store, &b);
		if ((r == 0) != (rows[i].told != NULL) ||
		    (rows[i].told && strcmp(buf_str(&b), rows[i].told) != 0) ||
		    (r && e.code != ERR_IO))
			ck_abort_msg("%s: %d %s", rows[i].rows, r,
				     r ? e.text : buf_str(&b));
		buf_done(&b);
		r = store_turn(store, "a", 1, &e);
		if (r != rows[i].turned)
			ck_abort_msg("%s: %d", rows[i].rows, r);
		ck_assert(store_turn(store, "a", 0, &e) == rows[i].turned);
	}
	tear_down();
	raw_stop(&raw);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_unchecked_fixture(tc, start_server, stop_server);
	tcase_add_test(tc, where_no_versions_are_kept_nothing_costs_more);
	tcase_add_test(tc, where_they_are_reads_cost_as_much_as_elsewhere);
	tcase_add_test(
		tc, who_may_not_ask_for_versions_goes_on_until_a_reply_tells);
	tcase_add_test(tc, a_deletion_hides_nothing);
	tcase_add_test(tc, reads_turn_to_what_is_below);
	tcase_add_test(tc, where_no_versions_are_kept_there_is_one);
	tcase_add_test(tc, what_was_fetched_ahead_is_not_read_after_a_turn);
	tcase_add_test(tc, what_is_replaced_does_not_pile_up);
	tcase_add_test(tc, who_may_not_remove_is_refused_once);
	tcase_add_test(tc, where_versions_are_no_longer_kept_the_new_one_stays);
	tcase_add_test(tc, versions_of_a_name_may_fill_pages);
	tcase_add_test(tc, a_list_of_versions_that_cannot_be_had_whole_fails);
	tcase_add_test(tc, odd_lists_of_versions);
}

CHECK_MAIN("storage/s3/version", cases)
