#include "storage/repository/keys.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

/*
 * Numbers are mapped to places by whole tables of 2^16: calloc() hands them
 * out untouched, so that what is resident is the page or two in use.  Keys
 * lie in locked cells which never move, because pointers to them are given
 * away.
 */
#define NUMBERS 65536

#define CELLS_PER_PAGE 120 /* with libsodium's canary within one 4 KiB page */
struct page {
	uint8_t cells[CELLS_PER_PAGE][KEYS_SIZE];
};

struct domain {
	uint16_t number;
	uint8_t *secret;
	uint8_t *id;
	uint8_t *cut;
	uint8_t *data[KEYS_EPOCHS_MAX]; /* by place of the epoch */
};

struct epoch {
	uint32_t number;
	uint8_t *key;
	uint8_t *object;
};

struct keys {
	struct object_id repository;
	uint32_t current;
	uint32_t generation;
	keys_newest *newest; /* or NULL */
	void *newest_arg;

	struct page **pages;
	size_t n_pages;
	size_t used; /* cells of the last page */

	struct epoch epochs[KEYS_EPOCHS_MAX];
	size_t n_epochs;
	struct domain *domains[KEYS_DOMAINS_MAX];
	size_t n_domains;

	/* Number to place + 1; 0: not known. */
	uint16_t epoch_at[NUMBERS];
	uint16_t domain_at[NUMBERS];
};

int keys_new(struct object_id repository, struct keys **ret, struct err *e)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (!k)
		return err_oom(e);
	k->repository = repository;
	*ret = k;
	return 0;
}

void keys_free(struct keys *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n_domains; i++)
		free(k->domains[i]);
	for (size_t i = 0; i < k->n_pages; i++)
		secret_free(k->pages[i]);
	free(k->pages);
	free(k);
}

struct object_id keys_repository(const struct keys *k)
{
	return k->repository;
}

static uint8_t *new_cell(struct keys *k, struct err *e)
{
	if (k->n_pages == 0 || k->used == CELLS_PER_PAGE) {
		struct page **grown = reallocarray(k->pages, k->n_pages + 1,
						   sizeof(struct page *));

		if (grown)
			k->pages = grown;
		if (!grown ||
		    !(k->pages[k->n_pages] = secret_new(sizeof(struct page)))) {
			(void)err_oom(e);
			return NULL;
		}
		k->n_pages++;
		k->used = 0;
	}
	return k->pages[k->n_pages - 1]->cells[k->used++];
}

static uint8_t *derived_cell(struct keys *k, const uint8_t *from,
			     const char *label, struct err *e)
{
	uint8_t *cell = new_cell(k, e);

	if (cell)
		keys_derive(from, label, NULL, 0, cell);
	return cell;
}

static uint8_t *copied_cell(struct keys *k, const uint8_t *from, struct err *e)
{
	uint8_t *cell = new_cell(k, e);

	if (cell)
		memcpy(cell, from, KEYS_SIZE);
	return cell;
}

static int derive_data(struct keys *k, struct domain *d, size_t place,
		       struct err *e)
{
	uint8_t rest[2 + KEYS_SIZE];
	uint8_t *cell = new_cell(k, e);

	if (!cell)
		return -1;
	rest[0] = (uint8_t)d->number;
	rest[1] = (uint8_t)(d->number >> 8);
	memcpy(rest + 2, d->secret, KEYS_SIZE);
	keys_derive(k->epochs[place].key, "data", rest, sizeof(rest), cell);
	secret_wipe(rest, sizeof(rest));
	d->data[place] = cell;
	return 0;
}

int keys_add_epoch(struct keys *k, uint32_t epoch, const uint8_t key[KEYS_SIZE],
		   struct err *e)
{
	const size_t place = k->n_epochs;

	if (epoch == 0 || epoch >= NUMBERS || k->epoch_at[epoch])
		return err_set(e, ERR_CORRUPT,
			       "epoch %u is out of range or given twice",
			       epoch);
	if (place == KEYS_EPOCHS_MAX)
		return err_set(e, ERR_CORRUPT, "more than %d epochs",
			       KEYS_EPOCHS_MAX);
	k->epochs[place].number = epoch;
	k->epochs[place].key = copied_cell(k, key, e);
	if (!k->epochs[place].key)
		return -1;
	k->epochs[place].object = derived_cell(k, key, "object", e);
	if (!k->epochs[place].object)
		return -1;
	for (size_t i = 0; i < k->n_domains; i++)
		if (derive_data(k, k->domains[i], place, e))
			return -1;
	k->n_epochs++;
	k->epoch_at[epoch] = (uint16_t)k->n_epochs;
	if (epoch > k->current)
		k->current = epoch;
	return 0;
}

static int fill_domain(struct keys *k, struct domain *d,
		       const uint8_t secret[KEYS_SIZE], struct err *e)
{
	d->secret = copied_cell(k, secret, e);
	if (!d->secret)
		return -1;
	d->id = derived_cell(k, secret, "id", e);
	if (!d->id)
		return -1;
	d->cut = derived_cell(k, secret, "cut", e);
	if (!d->cut)
		return -1;
	for (size_t i = 0; i < k->n_epochs; i++)
		if (derive_data(k, d, i, e))
			return -1;
	return 0;
}

int keys_add_domain(struct keys *k, uint16_t domain,
		    const uint8_t secret[KEYS_SIZE], struct err *e)
{
	struct domain *d;

	if (k->domain_at[domain])
		return err_set(e, ERR_CORRUPT, "domain %u is given twice",
			       domain);
	if (k->n_domains == KEYS_DOMAINS_MAX)
		return err_set(e, ERR_CORRUPT, "more than %d domains",
			       KEYS_DOMAINS_MAX);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_oom(e);
	d->number = domain;
	if (fill_domain(k, d, secret, e)) {
		free(d);
		return -1;
	}
	k->domains[k->n_domains++] = d;
	k->domain_at[domain] = (uint16_t)k->n_domains;
	return 0;
}

uint32_t keys_epoch(const struct keys *k)
{
	return k->current;
}

void keys_set_generation(struct keys *k, uint32_t generation)
{
	k->generation = generation;
}

uint32_t keys_generation(const struct keys *k)
{
	return k->generation;
}

void keys_ask(struct keys *k, keys_newest *newest, void *arg)
{
	k->newest = newest;
	k->newest_arg = arg;
}

bool keys_came_later(const struct keys *k, uint32_t epoch)
{
	struct err ignored = { 0 };
	uint32_t newest;

	return k->newest && epoch > k->current &&
	       k->newest(k->newest_arg, &newest, &ignored) == 0 &&
	       epoch <= newest;
}

static size_t epoch_place(const struct keys *k, uint32_t epoch)
{
	return epoch < NUMBERS ? k->epoch_at[epoch] : 0;
}

bool keys_agree(const struct keys *a, const struct keys *b)
{
	for (size_t i = 0; i < a->n_epochs; i++) {
		const size_t at = epoch_place(b, a->epochs[i].number);

		if (at && sodium_memcmp(a->epochs[i].key, b->epochs[at - 1].key,
					KEYS_SIZE) != 0)
			return false;
	}
	for (size_t i = 0; i < a->n_domains; i++) {
		const size_t at = b->domain_at[a->domains[i]->number];

		if (at &&
		    sodium_memcmp(a->domains[i]->secret,
				  b->domains[at - 1]->secret, KEYS_SIZE) != 0)
			return false;
	}
	return true;
}

const uint8_t *keys_object(const struct keys *k, uint32_t epoch)
{
	const size_t at = epoch_place(k, epoch);

	return at ? k->epochs[at - 1].object : NULL;
}

const uint8_t *keys_data(const struct keys *k, uint16_t domain, uint32_t epoch)
{
	const size_t at = epoch_place(k, epoch);
	const size_t d = k->domain_at[domain];

	return at && d ? k->domains[d - 1]->data[at - 1] : NULL;
}

const uint8_t *keys_id(const struct keys *k, uint16_t domain)
{
	const size_t d = k->domain_at[domain];

	return d ? k->domains[d - 1]->id : NULL;
}

const uint8_t *keys_cut(const struct keys *k, uint16_t domain)
{
	const size_t d = k->domain_at[domain];

	return d ? k->domains[d - 1]->cut : NULL;
}

void keys_derive(const uint8_t key[KEYS_SIZE], const char *label,
		 const void *rest, size_t n, uint8_t out[KEYS_SIZE])
{
	static const char prefix[] = "snapctl/1 ";
	crypto_generichash_state state;
	int bad;

	bad = crypto_generichash_init(&state, key, KEYS_SIZE, KEYS_SIZE);
	bad |= crypto_generichash_update(&state, (const uint8_t *)prefix,
					 sizeof(prefix) - 1);
	/* With the NUL that ends the label. */
	bad |= crypto_generichash_update(&state, (const uint8_t *)label,
					 strlen(label) + 1);
	if (n)
		bad |= crypto_generichash_update(&state, rest, n);
	bad |= crypto_generichash_final(&state, out, KEYS_SIZE);
	assert(bad == 0);
	secret_wipe(&state, sizeof(state));
}
