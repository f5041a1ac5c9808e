/* The regions in `status`: whether they work, and what they hold. */
#include <stdio.h>
#include <string.h>

#include "service/catalog_keep.h"
#include "service/op_status_internal.h"

struct region_newest {
	const char *region;
	struct instant newest;
};

static int read_region_newest(void *arg, const struct catalog_newest *n,
			      struct err *e UNUSED)
{
	struct region_newest *r = arg;

	if (strcmp(n->region, r->region) == 0 &&
	    instant_compare(n->received, r->newest) > 0)
		r->newest = n->received;
	return 0;
}

static int read_check(void *arg, const struct catalog_check_row *k,
		      struct err *e UNUSED)
{
	bool *damaged = arg;

	if (strcmp(k->result, "failed") == 0)
		return 0;
	*damaged = strcmp(k->result, "damaged") == 0;
	return 1;
}

static void tell_damage(struct status *s, const struct catalog_region *r)
{
	char text[200];

	(void)snprintf(text, sizeof(text),
		       "region %s of %s is damaged: its copies that lose by it "
		       "protect nothing",
		       r->region, r->repository);
	op_status_problem(
		s, text,
		"\"snapctl repo check --read-data\" tells all; the next "
		"run looks again");
	s->troubled++;
}

static int write_region(void *arg, const struct catalog_region *r,
			struct err *e)
{
	const struct catalog_check_filter checks = {
		.repository = r->repository, .region = r->region, .limit = 20
	};
	struct region_newest newest = { .region = r->region };
	struct status *s = arg;
	struct json *j = s->call->reply;
	const bool down = instant_compare(r->failed, r->seen_ok) > 0;
	bool damaged = false;

	if (catalog_newest(s->call->catalog, r->repository, NULL,
			   read_region_newest, &newest, e) < 0 ||
	    catalog_checks(s->call->catalog, &checks, read_check, &damaged, e) <
		    0)
		return -1;
	json_begin_object(j);
	json_kv_str(j, "repository", r->repository);
	json_kv_str(j, "region", r->region);
	json_kv_bool(j, "primary", r->primary);
	json_kv_str(j, "state", down ? "failed" : damaged ? "damaged" : "ok");
	op_status_moment(j, "newest", newest.newest);
	json_end_object(j);
	if (damaged)
		tell_damage(s, r);
	if (down) {
		char text[400];

		(void)snprintf(text, sizeof(text),
			       "region %s of %s does not work: %.200s",
			       r->region, r->repository, r->message);
		op_status_problem(s, text, NULL);
		s->troubled++;
	}
	return 0;
}

int op_status_regions(struct status *s, struct err *e)
{
	json_key(s->call->reply, "regions");
	json_begin_list(s->call->reply);
	if (catalog_regions(s->call->catalog, NULL, write_region, s, e) < 0)
		return -1;
	json_end_list(s->call->reply);
	return 0;
}
