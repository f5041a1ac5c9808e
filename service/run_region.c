#include "service/run_region.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "service/catalog_keep.h"

const struct resource_region *run_region_primary(const struct run *r)
{
	const struct resource_region *region = resource_region(r->repository,
							       NULL);

	assert(region);
	return region;
}

/* What is known of a region and outlives this contact. */
struct known {
	const char *region;
	struct instant seen_ok, failed, listed;
	struct buf inventory;
};

static int recall(void *arg, const struct catalog_region *row, struct err *e)
{
	struct known *k = arg;

	if (strcmp(row->region, k->region) != 0)
		return 0;
	k->seen_ok = row->seen_ok;
	k->failed = row->failed;
	k->listed = row->listed;
	buf_clear(&k->inventory);
	return buf_add_str(&k->inventory, row->inventory_json, e);
}

/* Note whether the region answered; why NULL when it did. */
static int note(struct run *r, const struct resource_region *region,
		const struct err *why, struct err *e)
{
	struct known known = { .region = region->name };
	struct catalog_region row = { .repository = r->repository->name,
				      .region = region->name,
				      .url = region->url,
				      .primary = region->primary };
	int failed;

	buf_init(&known.inventory, (size_t)16 << 20);
	failed = catalog_regions(r->catalog, r->repository->name, recall,
				 &known, e);
	row.seen_ok = why ? known.seen_ok : clock_now();
	row.failed = why ? clock_now() : known.failed;
	row.message = why ? why->text : "";
	row.listed = known.listed;
	row.inventory_json = known.inventory.len ? buf_str(&known.inventory)
						 : NULL;
	if (failed >= 0)
		failed = catalog_region_put(r->catalog, &row, e);
	buf_done(&known.inventory);
	return failed < 0 ? -1 : 0;
}

int run_region_key(const struct run *r, struct keyring_credential **ret,
		   struct err *e)
{
	char path[4096];
	const int n = snprintf(path, sizeof(path), "%s/%s",
			       config_text(r->config, CONFIG_KEYS),
			       r->repository->repository.key_file);

	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, "the key file's path is too long");
	return keyring_credential_key_file(path, ret, e);
}

static int open_region(struct run *r, const struct resource_region *region,
		       struct repository **ret, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *key = NULL;

	if (run_region_key(r, &key, e) < 0)
		return -1;
	return repository_open(region->url, key, ret, e);
}

int run_region_open(struct run *r, const struct resource_region *region,
		    struct repository **ret, struct err *e)
{
	CLEANUP(repository_close) struct repository *opened = NULL;
	struct err why = { 0 };

	if (open_region(r, region, &opened, &why) < 0) {
		if (note(r, region, &why, e) < 0)
			return -1;
		*e = why;
		return err_wrap(e, "region %s of repository %s",
				text_quote_str(region->name).s,
				text_quote_str(r->repository->name).s);
	}
	if (note(r, region, NULL, e) < 0)
		return -1;
	*ret = TAKE(opened);
	return 0;
}
