#include "service/resource.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "tests/support/check_main.h"

static struct err e;
static struct problem_list problems;

static struct resource_set *read_set(const char *text, size_t n)
{
	struct resource_set *s = NULL;

	problem_init(&problems);
	ck_ok(resource_set_new(&s, &e));
	ck_ok(resource_set_add(s, "f.yaml", text, n, &problems, &e));
	return s;
}

static char *format(char *out, size_t size)
{
	CLEANUP(buf_done) struct buf b = { 0 };

	buf_init(&b, 1 << 16);
	ck_ok(problem_format(&problems, &b, &e));
	(void)snprintf(out, size, "%s", buf_str(&b));
	return out;
}

static struct resource_set *read_file(const char *path)
{
	CLEANUP(buf_done) struct buf b = { 0 };

	buf_init(&b, 1 << 20);
	ck_ok(file_read_all(path, &b, &e));
	return read_set(buf_str(&b), b.len);
}

static void write_all(const struct resource *r, struct buf *out)
{
	struct json j;

	buf_init(out, 1 << 20);
	json_init(&j, json_to_buf, out);
	resource_write(r, &j);
	ck_ok(json_finish(&j, &e));
}

static void write_part(const struct resource *r,
		       void (*write)(const struct resource *, struct json *),
		       struct buf *out)
{
	struct json j;

	buf_init(out, 1 << 20);
	json_init(&j, json_to_buf, out);
	write(r, &j);
	ck_ok(json_finish(&j, &e));
}

/* Canonical form, read as a manifest and as stored parts: the same again. */
static void check_round_trip(const struct resource *r)
{
	CLEANUP(buf_done) struct buf first = { 0 };
	CLEANUP(buf_done) struct buf again = { 0 };
	CLEANUP(buf_done) struct buf stored = { 0 };
	CLEANUP(buf_done) struct buf labels = { 0 };
	CLEANUP(buf_done) struct buf spec = { 0 };
	CLEANUP(resource_set_free) struct resource_set *s = NULL;
	CLEANUP(resource_free) struct resource *copy = NULL;
	struct resource_form form;

	write_all(r, &first);
	s = read_set(buf_str(&first), first.len);
	ck_assert_uint_eq(problems.errors, 0);
	ck_assert_uint_eq(resource_set_count(s), 1);
	write_all(resource_set_get(s, 0), &again);
	ck_assert_str_eq(buf_str(&first), buf_str(&again));
	write_part(r, resource_write_labels, &labels);
	write_part(r, resource_write_spec, &spec);
	form = (struct resource_form){ resource_kind_name(r->kind), r->name,
				       buf_str(&labels), buf_str(&spec) };
	ck_ok(resource_from_form(&form, &copy, &e));
	write_all(copy, &stored);
	ck_assert_str_eq(buf_str(&first), buf_str(&stored));
}

static void check_canonical(const struct resource *r, const char *expected)
{
	CLEANUP(buf_done) struct buf b = { 0 };

	write_all(r, &b);
	ck_assert_str_eq(buf_str(&b), expected);
}

START_TEST(the_design_example_is_read)
{
	CLEANUP(resource_set_free)
	struct resource_set *s = read_file(TESTS_UNIT
					   "/fixtures/manifests.yaml");
	static const char *const forms[] = {
		"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Repository\","
		"\"metadata\":{\"name\":\"main\"},\"spec\":{\"keyFile\":"
		"\"main.key\",\"regions\":[{\"name\":\"eu-west\",\"url\":"
		"\"file:///srv/eu-west\",\"primary\":true},{\"name\":"
		"\"us-east\",\"url\":\"file:///srv/us-east\",\"bandwidth\":"
		"{\"up\":\"50M\"}}]}}",
		"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Policy\","
		"\"metadata\":{\"name\":\"gold\"},\"spec\":{\"timeZone\":"
		"\"Europe/Berlin\",\"retention\":{\"keep-daily\":7,"
		"\"keep-weekly\":4,\"keep-monthly\":12},\"floor\":"
		"{\"snapshots\":3,\"verifiedWithin\":\"30d\",\"regions\":2},"
		"\"lock\":\"7d\"}}",
		"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Source\","
		"\"metadata\":{\"name\":\"web-config\",\"labels\":{\"tier\":"
		"\"gold\"}},\"spec\":{\"type\":\"files\",\"paths\":["
		"\"/etc/nginx\"],\"exclude\":[\"*.swp\"],\"text\":true,"
		"\"hooks\":[{\"when\":\"before\",\"argv\":["
		"\"/usr/sbin/nginx\",\"-t\"],\"timeout\":\"30s\",\"user\":"
		"\"root\"}]}}",
		"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Schedule\","
		"\"metadata\":{\"name\":\"nightly\"},\"spec\":{\"cron\":"
		"\"30 2 * * *\",\"timeZone\":\"Europe/Berlin\",\"sources\":"
		"{\"matchLabels\":{\"tier\":\"gold\"}},\"repository\":"
		"\"main\",\"policy\":\"gold\",\"replicateTo\":[\"us-east\"],"
		"\"rpo\":\"1d2h\",\"startWindow\":\"2h\",\"jitter\":\"10m\","
		"\"blackout\":[{\"cron\":\"0 8 * * MON-FRI\",\"for\":"
		"\"10h\"}]}}",
		"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Drill\","
		"\"metadata\":{\"name\":\"weekly-dr\"},\"spec\":{\"cron\":"
		"\"0 6 * * SUN\",\"schedule\":\"nightly\",\"region\":"
		"\"us-east\",\"rto\":\"30m\",\"checks\":[{\"type\":\"tree\"},"
		"{\"type\":\"command\",\"argv\":[\"test\",\"-s\","
		"\"etc/nginx/nginx.conf\"]}]}}",
	};
	char text[4096];

	ck_ok(resource_set_check(s, NULL, &problems, &e));
	ck_assert_str_eq(format(text, sizeof(text)), "");
	ck_assert_uint_eq(resource_set_count(s), 5);
	for (size_t i = 0; i < 5; i++) {
		check_canonical(resource_set_get(s, i), forms[i]);
		check_round_trip(resource_set_get(s, i));
	}
}
END_TEST

START_TEST(our_own_example_is_sound)
{
	CLEANUP(resource_set_free)
	struct resource_set *s = read_file(SERVICE_FOLDER "/example.yaml");
	char text[4096];

	ck_ok(resource_set_check(s, NULL, &problems, &e));
	ck_assert_str_eq(format(text, sizeof(text)), "");
	ck_assert_uint_eq(resource_set_count(s), 6);
	for (size_t i = 0; i < 6; i++) {
		check_round_trip(resource_set_get(s, i));
		ck_assert(!resource_has_argv(resource_set_get(s, i)));
	}
}
END_TEST

#define MANIFEST(kind, name, spec)                                   \
	"---\napiVersion: snapctl.io/v1\nkind: " kind "\nmetadata: " \
	"{name: " name "}\nspec: " spec "\n"
#define REPO(name, regions) \
	MANIFEST("Repository", name, "{keyFile: k, regions: [" regions "]}")
#define A	     "{name: a, url: /a}"
#define B	     "{name: b, url: /b}"
#define SOURCE(name) MANIFEST("Source", name, "{type: files, paths: [/etc]}")

START_TEST(defaults_are_typed_and_left_out)
{
	static const char text[] = REPO("r", A ", " B) MANIFEST(
		"Policy", "p",
		"{timeZone: UTC, floor: {snapshots: 2, verifiedWithin: 60m, "
		"regions: 1}}") SOURCE("s")
		MANIFEST("Schedule", "n",
			 "{cron: '@daily', sources: {names: [s]}, repository: "
			 "r, jitter: 0s, retries: 3, catchUp: one, suspend: "
			 "false, policy: p}")
			MANIFEST("Drill", "d",
				 "{cron: '@weekly', schedule: n, checks: "
				 "[{type: tree}]}");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);
	const struct resource *r = resource_set_get(s, 0);
	const struct resource *n = resource_set_get(s, 3);
	const struct resource *d = resource_set_get(s, 4);

	ck_ok(resource_set_check(s, NULL, &problems, &e));
	ck_assert_uint_eq(problems.errors, 0);
	ck_assert_int_eq(r->repository.concurrency, 2);
	ck_assert_int_eq(r->repository.verify_every_ms, INT64_C(2592000000));
	/* A map that is left out, and whose fields have defaults all the same.
	 */
	ck_assert_int_eq(r->repository.gc_every_ms, 86400000);
	ck_assert_uint_eq(r->repository.gc_rewrite_bytes, UINT64_C(4) << 30);
	ck_assert(r->repository.regions[0].primary);
	ck_assert_ptr_eq(resource_region(r, NULL), &r->repository.regions[0]);
	ck_assert_ptr_eq(resource_region(r, "b"), &r->repository.regions[1]);
	ck_assert_ptr_null(resource_region(r, "c"));
	ck_assert_int_eq(n->schedule.retries, 3);
	ck_assert_str_eq(n->schedule.time_zone, "UTC");
	ck_assert_str_eq(n->schedule.overlap, "skip");
	ck_assert_int_eq(n->schedule.rpo_ms, 0);
	ck_assert_uint_eq(n->ref_count, 3);
	ck_assert_int_eq(n->refs[0].kind, RESOURCE_REPOSITORY);
	ck_assert_str_eq(n->refs[2].name, "s");
	ck_assert_uint_eq(d->drill.check_count, 1);
	check_canonical(resource_set_get(s, 1),
			"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Policy\","
			"\"metadata\":{\"name\":\"p\"},\"spec\":{\"floor\":"
			"{\"snapshots\":2,\"verifiedWithin\":\"1h\"}}}");
	check_canonical(n,
			"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":"
			"\"Schedule\",\"metadata\":{\"name\":\"n\"},\"spec\":"
			"{\"cron\":\"@daily\",\"sources\":{\"names\":[\"s\"]},"
			"\"repository\":\"r\",\"policy\":\"p\"}}");
	check_canonical(d,
			"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Drill\","
			"\"metadata\":{\"name\":\"d\"},\"spec\":{\"cron\":"
			"\"@weekly\",\"schedule\":\"n\"}}");
	for (size_t i = 0; i < resource_set_count(s); i++)
		check_round_trip(resource_set_get(s, i));
}
END_TEST

static void check_gc(const char *gc, int64_t every_ms, uint64_t rewrite,
		     const char *canonical)
{
	char text[512], expected[512];
	CLEANUP(resource_set_free) struct resource_set *s = NULL;
	const struct resource *r;

	(void)snprintf(text, sizeof(text),
		       MANIFEST("Repository", "r",
				"{keyFile: k, regions: [{name: a, url: /a}]"
				"%s}"),
		       gc);
	(void)snprintf(expected, sizeof(expected),
		       "{\"apiVersion\":\"snapctl.io/v1\",\"kind\":"
		       "\"Repository\",\"metadata\":{\"name\":\"r\"},"
		       "\"spec\":{\"keyFile\":\"k\",\"regions\":[{\"name\":"
		       "\"a\",\"url\":\"file:///a\",\"primary\":true}]%s}}",
		       canonical);
	s = read_set(text, strlen(text));
	ck_assert_uint_eq(problems.errors, 0);
	r = resource_set_get(s, 0);
	ck_assert_int_eq(r->repository.gc_every_ms, every_ms);
	ck_assert_uint_eq(r->repository.gc_rewrite_bytes, rewrite);
	check_canonical(r, expected);
	check_round_trip(r);
}

START_TEST(gc_is_on_unless_it_is_turned_off)
{
	const uint64_t usual = UINT64_C(4) << 30;

	check_gc("", 86400000, usual, "");
	check_gc(", gc: {}", 86400000, usual, "");
	check_gc(", gc: {every: 24h, rewrite: 4096M}", 86400000, usual, "");
	check_gc(", gc: {every: 0s}", 0, usual, ",\"gc\":{\"every\":\"0s\"}");
	/* All of it zero is not all of it left out. */
	check_gc(", gc: {every: 0s, rewrite: 0}", 0, 0,
		 ",\"gc\":{\"every\":\"0s\",\"rewrite\":\"0\"}");
	check_gc(", gc: {every: 1h, rewrite: 500}", 3600000, 500,
		 ",\"gc\":{\"every\":\"1h\",\"rewrite\":\"500\"}");
}
END_TEST

START_TEST(every_retention_rule_is_read_and_written)
{
	static const char text[] = MANIFEST(
		"Policy", "p",
		"{retention: {keep-tags: [b, a=1], keep-within-yearly: 9y, "
		"keep-within-monthly: 8m, keep-within-weekly: 7w, "
		"keep-within-daily: 6d, keep-within-hourly: 5h, keep-within: "
		"1y2m3w4d5h, keep-yearly: -1, keep-monthly: 5, keep-weekly: "
		"4, keep-daily: 3, keep-hourly: 2, keep-last: 1}}");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);

	ck_assert_uint_eq(resource_set_count(s), 1);
	ck_assert_uint_eq(resource_set_get(s, 0)->policy.retention.n_rules,
			  RETENTION_RULES);
	check_canonical(
		resource_set_get(s, 0),
		"{\"apiVersion\":\"snapctl.io/v1\",\"kind\":\"Policy\","
		"\"metadata\":{\"name\":\"p\"},\"spec\":{\"retention\":"
		"{\"keep-last\":1,\"keep-hourly\":2,\"keep-daily\":3,"
		"\"keep-weekly\":4,\"keep-monthly\":5,\"keep-yearly\":-1,"
		"\"keep-within\":\"1y2m3w4d5h\",\"keep-within-hourly\":\"5h\","
		"\"keep-within-daily\":\"6d\",\"keep-within-weekly\":\"7w\","
		"\"keep-within-monthly\":\"8m\",\"keep-within-yearly\":\"9y\","
		"\"keep-tags\":[\"b\",\"a=1\"]}}}");
	check_round_trip(resource_set_get(s, 0));
}
END_TEST

#define SCHEDULE(name, more)                                                 \
	MANIFEST("Schedule", name,                                           \
		 "{cron: '@daily', sources: {names: [s]}, repository: " more \
		 "}")

/* What exists, as text; read afresh for each question. */
static int list_existing(void *arg, enum resource_kind kind,
			 resource_visit *visit, void *visit_arg,
			 struct err *err)
{
	const struct resource_set *s = arg;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < resource_set_count(s); i++) {
		const struct resource *r = resource_set_get(s, i);
		CLEANUP(buf_done) struct buf spec = { 0 };
		CLEANUP(buf_done) struct buf labels = { 0 };
		struct resource_form form;

		if (r->kind != kind)
			continue;
		write_part(r, resource_write_spec, &spec);
		write_part(r, resource_write_labels, &labels);
		form = (struct resource_form){ resource_kind_name(kind),
					       r->name, buf_str(&labels),
					       buf_str(&spec) };
		rc = visit(visit_arg, &form, err);
	}
	return rc;
}

static void check_against(const char *existing, const char *text,
			  const char *expected)
{
	CLEANUP(resource_set_free)
	struct resource_set *old = read_set(existing, strlen(existing));
	struct resource_world world = { list_existing, old };
	CLEANUP(resource_set_free) struct resource_set *s = NULL;
	char found[8192];

	ck_assert_uint_eq(problems.errors, *existing ? 0 : 1);
	problem_done(&problems);
	s = read_set(text, strlen(text));
	ck_ok(resource_set_check(s, &world, &problems, &e));
	ck_assert_str_eq(format(found, sizeof(found)), expected);
	problem_done(&problems);
}

START_TEST(references_are_checked_in_the_apply)
{
	check_against("", REPO("r", A) SOURCE("s") SCHEDULE("n", "q"),
		      "f.yaml:15:59: found Repository \"q\", which neither "
		      "exists nor is declared; did you mean \"r\"?\n");
	check_against("", REPO("r", A) SCHEDULE("n", "r"),
		      "f.yaml:10:42: found Source \"s\", which neither exists "
		      "nor is declared\n");
	check_against("",
		      REPO("r", A) SOURCE("s") SCHEDULE("n", "r, policy: gold"),
		      "f.yaml:15:70: found Policy \"gold\", which neither "
		      "exists nor is declared\n");
	check_against("",
		      REPO("r", A ", {name: west, url: /w}") SOURCE("s")
			      SCHEDULE("n", "r, replicateTo: [wets, a]"),
		      "f.yaml:15:76: found region \"wets\", which Repository "
		      "\"r\" does not have; did you mean \"west\"?\n"
		      "f.yaml:15:82: found region \"a\", which is the primary: "
		      "it is written first\n");
	check_against("",
		      REPO("r", A ", " B) SOURCE("s") SCHEDULE("n", "r")
			      MANIFEST("Drill", "d",
				       "{cron: '@daily', schedule: n, "
				       "region: b}"),
		      "f.yaml:20:45: found region \"b\", to which Schedule "
		      "\"n\" copies nothing; name it in the schedule's "
		      "replicateTo\n");
	check_against("",
		      REPO("r", A ", " B) SOURCE("s")
			      SCHEDULE("n", "r, replicateTo: [b]")
				      MANIFEST("Drill", "d",
					       "{cron: '@daily', schedule: n, "
					       "without: [a, c]}"),
		      "f.yaml:20:50: found region \"c\", which Repository "
		      "\"r\" does not have; did you mean \"a\"?\n");
	check_against("",
		      REPO("r", A ", " B) SOURCE("s")
			      SCHEDULE("n", "r, replicateTo: [b]")
				      MANIFEST("Drill", "d",
					       "{cron: '@daily', schedule: n, "
					       "region: b, without: [b]}"),
		      "f.yaml:20:57: found no region that is left to restore "
		      "from; shut fewer away, or name more regions in the "
		      "schedule's replicateTo\n");
	check_against("",
		      REPO("r", A ", " B) SOURCE("s") SCHEDULE("n", "r")
			      MANIFEST("Drill", "d",
				       "{cron: '@daily', schedule: n, "
				       "without: [a]}"),
		      "f.yaml:20:46: found no region that is left to restore "
		      "from; shut fewer away, or name more regions in the "
		      "schedule's replicateTo\n");
	check_against("",
		      REPO("r", A ", " B) SOURCE("s")
			      SCHEDULE("n", "r, replicateTo: [b]")
				      MANIFEST("Drill", "d",
					       "{cron: '@daily', schedule: n, "
					       "without: [a]}"),
		      "");
	check_against("",
		      REPO("r", A) SOURCE("s") MANIFEST(
			      "Policy", "p",
			      "{floor: {snapshots: 1, verifiedWithin: 1d, "
			      "regions: 2}}") SCHEDULE("n", "r, policy: p"),
		      "f.yaml:20:70: found Policy \"p\", whose floor needs 2 "
		      "regions, where the snapshots have copies in 1; name "
		      "more regions in replicateTo, or lower "
		      "floor.regions\n");
	check_against("", REPO("r", A) REPO("q", A),
		      "f.yaml:5:30: found a place that Repository \"q\" has, "
		      "expected another one\n");
	check_against("", SOURCE("s") SOURCE("s"),
		      "f.yaml:7:1: found Source \"s\" again, expected it "
		      "once; it stands in f.yaml line 2 already\n");
	check_against("",
		      REPO("r", A) MANIFEST("Schedule", "n",
					    "{cron: '@daily', sources: "
					    "{matchLabels: {tier: gold}}, "
					    "repository: r}"),
		      "f.yaml:10:47: warning: no source has these labels: "
		      "nothing is protected by this schedule\n");
}
END_TEST

START_TEST(references_are_checked_against_what_exists)
{
	static const char existing[] = REPO("r", A ", " B) SOURCE("s")
		MANIFEST("Policy", "p",
			 "{floor: {snapshots: 1, verifiedWithin: 1d, regions: "
			 "2}}") SCHEDULE("n", "r, policy: p, replicateTo: [b]")
			MANIFEST("Drill", "d",
				 "{cron: '@daily', schedule: n, region: b}");

	check_against(existing, SCHEDULE("m", "r"), "");
	check_against(existing, SCHEDULE("m", "rr"),
		      "f.yaml:5:59: found Repository \"rr\", which neither "
		      "exists nor is declared; did you mean \"r\"?\n");
	/* What exists would lose what it refers to. */
	check_against(existing, REPO("r", A),
		      "f.yaml:2:1: this would break Schedule \"n\", which "
		      "exists: found region \"b\", which Repository \"r\" does "
		      "not have\n"
		      "f.yaml:2:1: this would break Drill \"d\", which exists: "
		      "found region \"b\", which Repository \"r\" does not "
		      "have\n");
	check_against(existing,
		      MANIFEST("Policy", "p",
			       "{floor: {snapshots: 1, verifiedWithin: 1d, "
			       "regions: 3}}"),
		      "f.yaml:2:1: this would break Schedule \"n\", which "
		      "exists: found Policy \"p\", whose floor needs 3 "
		      "regions, where the snapshots have copies in 2; name "
		      "more regions in replicateTo, or lower "
		      "floor.regions\n");
	check_against(existing, SCHEDULE("n", "r"),
		      "f.yaml:2:1: this would break Drill \"d\", which exists: "
		      "found region \"b\", to which Schedule \"n\" copies "
		      "nothing; name it in the schedule's replicateTo\n");
}
END_TEST

START_TEST(a_broken_document_is_blamed_once)
{
	check_against("",
		      MANIFEST("Repository", "r", "{keyFile: k}") SOURCE("s")
			      SCHEDULE("n", "r"),
		      "f.yaml:5:7: found no \"regions\", expected one in "
		      "spec\n");
}
END_TEST

START_TEST(a_path_keeps_one_slash_at_its_end)
{
	static const char text[] = MANIFEST(
		"Source", "s", "{type: files, paths: [/a, /b///, /, ///]}");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);
	const struct resource *r = resource_set_get(s, 0);
	const struct resource_texts *paths = &r->source.paths;

	ck_assert_uint_eq(problems.errors, 0);
	ck_assert_uint_eq(paths->count, 4);
	ck_assert_str_eq(paths->items[0], "/a");
	/* That of a symlink is then the folder where it leads. */
	ck_assert_str_eq(paths->items[1], "/b/");
	ck_assert_str_eq(paths->items[2], "/");
	ck_assert_str_eq(paths->items[3], "/");
	check_round_trip(r);
}
END_TEST

START_TEST(a_command_is_a_source)
{
	static const char text[] = MANIFEST(
		"Source", "s",
		"{type: command, argv: [/usr/bin/pg_dump, shop], user: "
		"postgres, file: shop.sql, environment: [PGHOST=/run/pg], "
		"timeout: 90m, minSize: 1M}")
		MANIFEST("Source", "t", "{type: command, argv: [/bin/date]}")
			MANIFEST(
				"Source", "u",
				"{type: block, paths: [/dev/vg/lv], file: lv.img}");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);
	const struct resource *r = resource_set_get(s, 0);

	ck_assert_uint_eq(problems.errors, 0);
	ck_assert_uint_eq(r->source.argv.count, 2);
	ck_assert_str_eq(r->source.environment.items[0], "PGHOST=/run/pg");
	ck_assert_str_eq(r->source.user, "postgres");
	ck_assert_int_eq(r->source.timeout_ms, 5400000);
	ck_assert_uint_eq(r->source.min_size, 1048576);
	/* Who may apply it is asked for by this. */
	ck_assert(resource_has_argv(r));
	check_round_trip(r);
	r = resource_set_get(s, 1);
	ck_assert_ptr_null(r->source.file);
	ck_assert_int_eq(r->source.timeout_ms, 6 * 3600000);
	ck_assert_uint_eq(r->source.min_size, 1);
	check_round_trip(r);
	r = resource_set_get(s, 2);
	ck_assert_str_eq(r->source.file, "lv.img");
	ck_assert(!resource_has_argv(r));
	check_round_trip(r);
}
END_TEST

START_TEST(a_percent_sign_of_a_plain_path_is_encoded)
{
	static const char text[] = REPO(
		"r", "{name: a, url: /srv/a%20b//}, {name: b, url: "
		     "\"file:///srv/a%20b\"}");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);
	const struct resource *r = resource_set_get(s, 0);

	ck_assert_uint_eq(problems.errors, 0);
	ck_assert_str_eq(r->repository.regions[0].url, "file:///srv/a%2520b");
	ck_assert_str_eq(r->repository.regions[1].url, "file:///srv/a%20b");
	check_round_trip(r);
}
END_TEST

START_TEST(argument_vectors_are_seen)
{
	static const char text[] = MANIFEST(
		"Drill", "d",
		"{cron: '@daily', schedule: n, checks: [{type: tree}, {type: "
		"command, argv: [/bin/true]}]}");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);

	ck_assert_uint_eq(resource_set_count(s), 1);
	ck_assert(resource_has_argv(resource_set_get(s, 0)));
}
END_TEST

START_TEST(selectors_select)
{
	static const char text[] =
		"apiVersion: snapctl.io/v1\nkind: Source\nmetadata: {name: s, "
		"labels: {tier: gold, os: linux}}\nspec: {type: files, paths: "
		"[/etc]}\n" SOURCE("t") MANIFEST(
			"Schedule", "n",
			"{cron: '@daily', repository: r, sources: "
			"{matchLabels: {os: linux, tier: gold}}}")
			MANIFEST("Schedule", "o",
				 "{cron: '@daily', repository: r, sources: "
				 "{matchLabels: {os: linux, tier: tin}}}")
				SCHEDULE("p", "r");
	CLEANUP(resource_set_free)
	struct resource_set *s = read_set(text, sizeof(text) - 1);
	const struct resource *a = resource_set_get(s, 0);
	const struct resource *b = resource_set_get(s, 1);

	ck_assert_uint_eq(resource_set_count(s), 5);
	ck_assert(resource_selects(resource_set_get(s, 2), a));
	ck_assert(!resource_selects(resource_set_get(s, 2), b));
	ck_assert(!resource_selects(resource_set_get(s, 3), a));
	ck_assert(resource_selects(resource_set_get(s, 4), a));
	ck_assert(!resource_selects(resource_set_get(s, 4), b));
}
END_TEST

START_TEST(kinds_have_names)
{
	enum resource_kind kind = RESOURCE_DRILL;

	ck_ok(resource_kind_named("repositories", &kind, &e));
	ck_assert_int_eq(kind, RESOURCE_REPOSITORY);
	ck_ok(resource_kind_named("policy", &kind, &e));
	ck_assert_int_eq(kind, RESOURCE_POLICY);
	ck_assert_int_eq(resource_kind_named("scedule", &kind, &e), -1);
	ck_assert_str_eq(e.hint, "did you mean \"Schedule\"?");
	ck_assert_int_eq(kind, RESOURCE_POLICY);
}
END_TEST

START_TEST(what_was_stored_and_is_not_valid_is_damage)
{
	struct resource *r = NULL;
	struct resource_form form = { "Policy", "p", NULL, "{\"lock\":1}" };

	ck_assert_int_eq(resource_from_form(&form, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.text, "stored Policy \"p\""));
	form.spec_json = "{";
	ck_assert_int_eq(resource_from_form(&form, &r, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_null(r);
}
END_TEST

START_TEST(each_field_is_documented)
{
	for (int kind = 0; kind < RESOURCE_KINDS; kind++) {
		CLEANUP(buf_done) struct buf b = { 0 };
		struct json j;

		buf_init(&b, 1 << 16);
		json_init(&j, json_to_buf, &b);
		resource_describe((enum resource_kind)kind, &j);
		ck_ok(json_finish(&j, &e));
		ck_assert_ptr_null(strstr(buf_str(&b), "\"doc\":null"));
		ck_assert_ptr_null(strstr(buf_str(&b), "\"type\":null"));
		ck_assert_uint_gt(b.len, 100);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, the_design_example_is_read);
	tcase_add_test(tc, our_own_example_is_sound);
	tcase_add_test(tc, defaults_are_typed_and_left_out);
	tcase_add_test(tc, gc_is_on_unless_it_is_turned_off);
	tcase_add_test(tc, every_retention_rule_is_read_and_written);
	tcase_add_test(tc, references_are_checked_in_the_apply);
	tcase_add_test(tc, references_are_checked_against_what_exists);
	tcase_add_test(tc, a_broken_document_is_blamed_once);
	tcase_add_test(tc, a_path_keeps_one_slash_at_its_end);
	tcase_add_test(tc, a_command_is_a_source);
	tcase_add_test(tc, a_percent_sign_of_a_plain_path_is_encoded);
	tcase_add_test(tc, argument_vectors_are_seen);
	tcase_add_test(tc, selectors_select);
	tcase_add_test(tc, kinds_have_names);
	tcase_add_test(tc, what_was_stored_and_is_not_valid_is_damage);
	tcase_add_test(tc, each_field_is_documented);
}

CHECK_MAIN("service/resource", cases)
