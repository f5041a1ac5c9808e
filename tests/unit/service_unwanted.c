/* What a region need not get: service/unwanted.h. */
#include "service/unwanted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/retain.h"
#include "storage/replicate.h"
#include "tests/support/check_main.h"

#define NOW ((struct instant){ .sec = 1700000000 })

static struct unwanted u;
static struct err e;

static void set_up(void)
{
	unwanted_init(&u);
}

static void tear_down(void)
{
	unwanted_done(&u);
}

static struct object_id id_of(uint8_t n)
{
	return (struct object_id){ .b = { n } };
}

/* One of a source in a region that has it, with a tag or none. */
static void see(uint8_t n, const char *source, const char *tag,
		unsigned int where)
{
	uint8_t text[16] = "\xff"; /* no text, and the tag */
	struct manifest_bytes tags[] = { { text, 1 }, { text + 1, 0 } };
	struct repository_snapshot s = {
		.received = { .sec = NOW.sec - 1000 + n },
		.manifest = { .snapshot = id_of(n),
			      .state = MANIFEST_COMPLETE,
			      .tags = { tags, tag ? 2 : 1 } },
	};

	if (tag) {
		tags[1].len = strlen(tag);
		memcpy(text + 1, tag, tags[1].len);
	}
	(void)snprintf(s.manifest.source, sizeof(s.manifest.source), "%s",
		       source);
	ck_ok(unwanted_see(&u, &s, where, &e));
}

/* Of any source but "stray" those with a tag are kept, and the newest. */
static int rules_of(void *arg UNUSED, const char *source,
		    const struct retain_rule_sets **ret, struct err *x)
{
	static const char *const tags[] = { "other", "gold" };
	static struct retain_rules v[1];
	static struct retain_rule_sets sets;

	v[0] = (struct retain_rules){ .uid = "A" };
	v[0].policy.zone = zone_utc();
	ck_ok(retention_add_tags(&v[0].policy, tags, 2, x));
	ck_ok(retention_add_count(&v[0].policy, RETENTION_LAST, 1, x));
	sets = (struct retain_rule_sets){ .v = v, .n = 1 };
	*ret = &sets;
	return strcmp(source, "stray") != 0;
}

/* By the first bytes of their ids. */
static void expect(const uint8_t *want, size_t n)
{
	struct object_id *ids = NULL;
	size_t got = 0;

	ck_ok(unwanted_judge(&u, rules_of, NULL, NOW, &e));
	ck_ok(unwanted_ids(&u, &ids, &got, &e));
	ck_assert_uint_eq(got, n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(ids[i].b[0], want[i]);
		ck_assert(unwanted_has(ids, got, id_of(want[i])));
	}
	ck_assert(!unwanted_has(ids, got, id_of(200)));
	free(ids);
}

START_TEST(what_a_tag_keeps_is_wanted)
{
	see(1, "web", "gold", REPLICATE_FROM);
	see(2, "web", "silver", REPLICATE_FROM);
	see(3, "web", NULL, REPLICATE_FROM);
	see(4, "web", NULL, REPLICATE_FROM);
	expect((const uint8_t[]){ 2, 3 }, 2);
}
END_TEST

START_TEST(nobody_judges_what_nobody_declares)
{
	see(1, "stray", NULL, REPLICATE_FROM);
	see(2, "stray", NULL, REPLICATE_FROM);
	see(3, "", NULL, REPLICATE_FROM); /* ad hoc */
	see(4, "", NULL, REPLICATE_FROM);
	expect(NULL, 0);
}
END_TEST

/* It has it already, or others do not; and one of several regions suffices. */
START_TEST(what_it_has_is_not_asked_about)
{
	see(1, "web", NULL, REPLICATE_FROM | REPLICATE_TO);
	see(2, "web", NULL, REPLICATE_TO);
	see(3, "web", NULL, REPLICATE_FROM | REPLICATE_REFUSED);
	see(4, "web", NULL, REPLICATE_FROM);
	see(5, "web", NULL, REPLICATE_FROM);
	see(5, "web", NULL, REPLICATE_FROM);
	see(6, "web", NULL, REPLICATE_FROM);
	see(6, "web", NULL, REPLICATE_FROM | REPLICATE_TO);
	expect((const uint8_t[]){ 4, 5 }, 2);
}
END_TEST

/* What is only known counts as what was seen. */
START_TEST(what_is_known_has_tags_too)
{
	const char *const tags[] = { "silver", "gold" };
	struct unwanted_item item = {
		.source = "web",
		.is_lacking = true,
		.s = { .complete = true, .tags = tags },
	};

	for (uint8_t n = 0; n <= 2; n++) {
		item.id = id_of((uint8_t)(n + 1));
		item.s.received.sec = NOW.sec - 1000 + n;
		item.s.n_tags = n;
		ck_ok(unwanted_add(&u, &item, &e));
	}
	item.id = id_of(9);
	item.s.received.sec = NOW.sec - 1;
	item.s.n_tags = 0;
	ck_ok(unwanted_add(&u, &item, &e));
	item.source = "";
	item.id = id_of(10);
	ck_ok(unwanted_add(&u, &item, &e));
	expect((const uint8_t[]){ 1, 2 }, 2);
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_a_tag_keeps_is_wanted);
	tcase_add_test(tc, nobody_judges_what_nobody_declares);
	tcase_add_test(tc, what_it_has_is_not_asked_about);
	tcase_add_test(tc, what_is_known_has_tags_too);
}

CHECK_MAIN("service/unwanted", cases)
