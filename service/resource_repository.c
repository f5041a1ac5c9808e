#include "service/resource_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "storage/stores/s3_place.h"

/* A path that cannot leave its folder: parts that are neither "." nor "..". */
static bool parts_plain(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
		    (n == 2 && memcmp(path, "..", 2) == 0))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

static int check_key_file(struct reading *r, const struct yaml_node *node,
			  const char **text)
{
	if (!parts_plain(*text)) {
		resource_field_expected(
			r, node,
			"a path below the keys folder, without . "
			"and ..");
		problem_mend(r->problems, "write it as \"main.key\"");
	}
	return 0;
}

/*
 * What carries a secret in the query of a URL, in any service's spelling: the
 * names are looked at, as a file that is named may be called so.
 */
static bool secret_query(const char *query)
{
	static const char *const words[] = { "secret",	   "password",
					     "passwd",	   "token",
					     "access_key", "access-key",
					     "accesskey",  "credential",
					     "signature" };
	static const char file[] = "credentials=/";

	for (;;) {
		const size_t n = strcspn(query, "&=");

		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
			const char *at = strcasestr(query, words[i]);

			if (at && at < query + n &&
			    strncmp(query, file, sizeof(file) - 1) != 0)
				return true;
		}
		query += strcspn(query, "&");
		if (!*query++)
			return false;
	}
}

/* Credentials are looked for first, and a URL with them is never quoted. */
static bool has_credentials(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *query = strchr(url, '?');
	const char *at;

	if (query && secret_query(query + 1))
		return true;
	if (authority == NULL)
		return false;
	authority += 3;
	at = strchr(authority, '@');
	return at && (size_t)(at - authority) < strcspn(authority, "/?#");
}

/* path's n bytes as a URL; what a plain path calls "%" is "%25" there. */
static char *file_url(struct reading *r, const char *path, size_t n,
		      bool is_plain)
{
	static const char scheme[] = "file://";
	char *url = arena_new(r->arena, sizeof(scheme) + 3 * n, r->e);
	char *out = url;

	if (url == NULL)
		return NULL;
	memcpy(out, scheme, sizeof(scheme) - 1);
	out += sizeof(scheme) - 1;
	for (size_t i = 0; i < n; i++) {
		*out++ = path[i];
		if (is_plain && path[i] == '%') {
			*out++ = '2';
			*out++ = '5';
		}
	}
	*out = '\0';
	return url;
}

/* A bucket: what the store's own parser says of the URL. */
static int check_bucket(struct reading *r, const struct yaml_node *node,
			const char *url)
{
	/* What is Amazon's alone to refuse is not refused here: the daemon's
	 * environment may name another server. */
	static const struct s3_defaults none = {
		.endpoint = "https://endpoint.invalid"
	};
	struct s3_place place;
	struct err why;

	if (s3_place_parse(url, &none, &place, &why) == 0)
		return 0;
	problem_add(r->problems, yaml_place(r->y, node), "%s", why.text);
	if (why.hint[0])
		problem_mend(r->problems, "%s", why.hint);
	return 0;
}

/* file:///DIR, or the path alone, to the one spelling "file:///DIR". */
static int check_folder(struct reading *r, const struct yaml_node *node,
			const char **text)
{
	const char *scheme_end = strstr(*text, "://");
	const char *path = *text;
	char *url;
	size_t n;

	if (scheme_end)
		path = scheme_end + 3;
	n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	url = file_url(r, path, n, scheme_end == NULL);
	if (url == NULL)
		return -1;
	if (path[0] != '/' || n < 2 || !parts_plain(url + 8) ||
	    strpbrk(path, "?#")) {
		resource_field_expected(
			r, node,
			"an absolute path as file:///srv/backup, "
			"without . and .. and // and ? and #");
		return 0;
	}
	*text = url;
	return 0;
}

/* What a region's URL begins with, of what this version reads and writes. */
static int check_url(struct reading *r, const struct yaml_node *node,
		     const char **text)
{
	const char *scheme_end = strstr(*text, "://");
	const size_t n = scheme_end ? (size_t)(scheme_end - *text) : 0;

	if (has_credentials(*text)) {
		problem_add(r->problems, yaml_place(r->y, node),
			    "found a URL with credentials in it, expected "
			    "none in a manifest");
		problem_mend(r->problems,
			     "give them to the daemon through its environment, "
			     "the shared credentials file, or a file that "
			     "credentials=FILE names");
		return 0;
	}
	if (n == 0 || (n == 4 && strncasecmp(*text, "file", n) == 0))
		return check_folder(r, node, text);
	if (n == 2 && strncasecmp(*text, "s3", n) == 0)
		return check_bucket(r, node, *text);
	problem_add(r->problems, yaml_place(r->y, node),
		    "found a region of the kind %s, expected one that this "
		    "version knows: file, s3",
		    text_quote(*text, n).s);
	return 0;
}

#define DAYS(n)	  (INT64_C(n) * 86400 * 1000)
#define WINDOW(m) offsetof(struct resource_bandwidth, m)
static const struct field window_fields[] = {
	{ .key = "cron",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = WINDOW(cron),
	  .check = resource_field_check_cron,
	  .doc = "when it begins" },
	{ .key = "for",
	  .type = FIELD_CLOCK,
	  .required = true,
	  .offset = WINDOW(for_ms),
	  .min = INT64_C(60) * 1000,
	  .max = DAYS(31),
	  .doc = "how long it lasts" },
	{ .key = "up",
	  .type = FIELD_RATE,
	  .offset = WINDOW(up_bytes),
	  .doc = "what takes the place of up meanwhile" },
	{ .key = "down",
	  .type = FIELD_RATE,
	  .offset = WINDOW(down_bytes),
	  .doc = "what takes the place of down meanwhile" },
	{ 0 }
};

#define BANDWIDTH(m) offsetof(struct resource_region, m)
static const struct field bandwidth_fields[] = {
	{ .key = "up",
	  .type = FIELD_RATE,
	  .offset = BANDWIDTH(up_bytes),
	  .doc = "at most so many bytes a second to the region" },
	{ .key = "down",
	  .type = FIELD_RATE,
	  .offset = BANDWIDTH(down_bytes),
	  .doc = "at most so many bytes a second from the region" },
	{ .key = "timeZone",
	  .type = FIELD_TEXT,
	  .fallback = "UTC",
	  .offset = BANDWIDTH(time_zone),
	  .check = resource_field_check_zone,
	  .doc = "of its windows" },
	{ .key = "windows",
	  .type = FIELD_MAPS,
	  .offset = BANDWIDTH(windows),
	  .count_offset = BANDWIDTH(window_count),
	  .fields = window_fields,
	  .size = sizeof(struct resource_bandwidth),
	  .doc = "other limits for a while, as {cron: \"0 8 * * MON-FRI\", "
		 "for: 10h, up: 5M}; the first that holds" },
	{ 0 }
};

static const struct field region_fields[] = {
	{ .key = "name",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = offsetof(struct resource_region, name),
	  .check = resource_field_check_name,
	  .doc = "what schedules and drills call it" },
	{ .key = "url",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = offsetof(struct resource_region, url),
	  .check = check_url,
	  .doc = "where it is: file:///DIR, or the path alone; "
		 "s3://BUCKET/PREFIX?region=NAME" },
	{ .key = "primary",
	  .type = FIELD_BOOL,
	  .fallback = "false",
	  .offset = offsetof(struct resource_region, primary),
	  .doc = "written first; the first region when none says so" },
	{ .key = "bandwidth",
	  .type = FIELD_MAP,
	  .fields = bandwidth_fields,
	  .doc = "limits, as {up: 50M}" },
	{ .key = "policy",
	  .type = FIELD_TEXT,
	  .offset = offsetof(struct resource_region, policy),
	  .check = resource_field_check_name,
	  .doc = "the Policy whose rules decide what is kept here, in place of "
		 "the schedule's; floors of both hold" },
	{ 0 }
};

#define MEMBER(m) offsetof(struct resource, repository.m)
static const struct field gc_fields[] = {
	{ .key = "every",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(gc_every_ms),
	  .fallback = "1d",
	  .max = INT64_C(365) * 86400 * 1000,
	  .doc = "how often, from 1h on; 0s: never" },
	{ .key = "rewrite",
	  .type = FIELD_SIZE,
	  .offset = MEMBER(gc_rewrite_bytes),
	  .fallback = "4G",
	  .doc = "copy at most so much, in each region, out of packs that are "
		 "mostly dead or small" },
	{ 0 }
};

static const struct field fields[] = {
	{ .key = "keyFile",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = MEMBER(key_file),
	  .check = check_key_file,
	  .doc = "the key, relative to the keys folder" },
	{ .key = "regions",
	  .type = FIELD_MAPS,
	  .required = true,
	  .offset = MEMBER(regions),
	  .count_offset = MEMBER(region_count),
	  .fields = region_fields,
	  .size = sizeof(struct resource_region),
	  .doc = "the places that each hold a full copy" },
	{ .key = "failover",
	  .type = FIELD_BOOL,
	  .offset = MEMBER(failover),
	  .fallback = "false",
	  .doc = "while the primary is away, runs write to the first region "
		 "of the schedule's replicateTo that can be had" },
	{ .key = "concurrency",
	  .type = FIELD_COUNT,
	  .offset = MEMBER(concurrency),
	  .fallback = "2",
	  .min = 1,
	  .max = 64,
	  .doc = "runs on this repository at once" },
	{ .key = "verifyEvery",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(verify_every_ms),
	  .fallback = "30d",
	  .min = INT64_C(3600) * 1000,
	  .max = INT64_C(3650) * 86400 * 1000,
	  .doc = "every stored byte is read and verified within this time" },
	{ .key = "gc",
	  .type = FIELD_MAP,
	  .fallback = "{}",
	  .fields = gc_fields,
	  .doc = "the service gives back the space of what no snapshot needs, "
		 "in each region, as {every: 1d}" },
	{ 0 }
};

static const struct yaml_node *nth(const struct yaml_node *list, size_t n)
{
	const struct yaml_node *node = list->first;

	while (n-- > 0)
		node = node->next;
	return node;
}

/* Quadratic, over regions that people have: a handful. */
#define REGIONS_MAX 16

static void check_same(struct reading *r, const struct resource_region *all,
		       size_t i, const struct yaml_node *list)
{
	for (size_t k = 0; k < i; k++) {
		const struct yaml_node *node = nth(list, i);

		if (all[i].name && all[k].name &&
		    strcmp(all[i].name, all[k].name) == 0)
			problem_add(r->problems,
				    yaml_place(r->y, yaml_get(node, "name")),
				    "found the region %s again, expected it "
				    "once",
				    text_quote_str(all[i].name).s);
		if (all[i].url && all[k].url &&
		    strcmp(all[i].url, all[k].url) == 0)
			problem_add(
				r->problems,
				yaml_place(r->y, yaml_get(node, "url")),
				"found the place of region %s again, "
				"expected another one",
				text_quote_str(all[k].name ? all[k].name : "")
					.s);
	}
}

/* Each one reads the trees of all snapshots: not every minute. */
#define GC_EVERY_MIN_MS (INT64_C(3600) * 1000)

static void check_gc(struct reading *r, const struct resource_repository *repo,
		     const struct yaml_node *spec)
{
	const struct yaml_node *gc = yaml_get(spec, "gc");

	if (repo->gc_every_ms > 0 && repo->gc_every_ms < GC_EVERY_MIN_MS)
		resource_field_expected(r, yaml_get(gc, "every"),
					"a duration from 1h to 365d, or 0s "
					"for never");
}

static int add_refs(struct reading *r, struct resource *res)
{
	const struct resource_repository *repo = &res->repository;

	res->refs = arena_new(
		r->arena, (repo->region_count + 1) * sizeof(*res->refs), r->e);
	if (res->refs == NULL)
		return -1;
	for (size_t i = 0; i < repo->region_count; i++) {
		const char *policy = repo->regions[i].policy;
		bool known = policy == NULL;

		for (size_t k = 0; k < res->ref_count && !known; k++)
			known = strcmp(res->refs[k].name, policy) == 0;
		if (!known)
			res->refs[res->ref_count++] = (struct resource_ref){
				RESOURCE_POLICY, policy
			};
	}
	return 0;
}

static int finish(struct reading *r, struct resource *res,
		  const struct yaml_node *spec)
{
	struct resource_repository *repo = &res->repository;
	const struct yaml_node *list = yaml_get(spec, "regions");
	size_t primaries = 0;

	check_gc(r, repo, spec);
	if (repo->region_count > REGIONS_MAX) {
		problem_add(r->problems, yaml_place(r->y, list),
			    "found %zu regions, expected at most %d",
			    repo->region_count, REGIONS_MAX);
		return 0;
	}
	for (size_t i = 0; i < repo->region_count; i++) {
		check_same(r, repo->regions, i, list);
		if (!repo->regions[i].primary || primaries++ == 0)
			continue;
		problem_add(r->problems,
			    yaml_place(r->y, yaml_get(nth(list, i), "primary")),
			    "found a second primary region, expected one");
	}
	if (primaries == 0 && repo->region_count > 0)
		repo->regions[0].primary = true;
	return add_refs(r, res);
}

const struct resource_type resource_repository_type = {
	.name = "Repository",
	.plural = "repositories",
	.fields = fields,
	.finish = finish,
};
