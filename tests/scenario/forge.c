/*
 * What somebody with a writer's key may write into a repository:
 *
 *	forge URL KEY-FILE tombstone SNAPSHOT    it was deleted long ago
 *	forge URL KEY-FILE release HOLD          that hold is released
 *	forge URL KEY-FILE guard                 everything is guarded for long
 *	forge URL KEY-FILE mark                  everything is to be deleted
 *	forge URL KEY-FILE quarantine            everything is damaged
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "storage/repository/record.h"
#include "storage/repository/repository.h"

#define YEAR_MS (INT64_C(365) * 86400 * 1000)

static struct err e;

static void must(int failed, const char *what)
{
	if (!failed)
		return;
	(void)fprintf(stderr, "forge: %s: %s (%s)\n", what, e.text, e.hint);
	exit(1);
}

static int name_object(void *arg, const struct store_entry *entry,
		       struct err *why)
{
	static const enum object_kind kinds[] = { OBJECT_DATA_PACK,
						  OBJECT_META_PACK,
						  OBJECT_INDEX };
	const struct chunk_id whole = { { 0 } };
	struct record *r = arg;
	struct object_id first;
	struct object_id id;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!object_name_parse(kinds[i], entry->name, &first, &id))
			continue;
		/* Index objects are guarded, and not given up. */
		if (r->kind != OBJECT_QUARANTINE)
			return record_add_id(r, id, why);
		return kinds[i] == OBJECT_INDEX
			       ? 0
			       : record_add_chunk(r, &whole, id, why);
	}
	return 0;
}

static void name_all(struct store *s, struct record *r)
{
	must(store_list(s, "data/", name_object, r, &e), "data");
	must(store_list(s, "meta/", name_object, r, &e), "meta");
	must(store_list(s, "index/", name_object, r, &e), "index");
}

static void parse(const char *text, struct object_id *ret)
{
	if (object_id_parse(text, ret))
		return;
	(void)fprintf(stderr, "forge: %s is no id\n", text);
	exit(2);
}

static void fill(struct store *s, const char *what, const char *id,
		 struct record *r)
{
	const struct instant now = clock_now();

	r->id = object_id_new();
	r->time = instant_add_ms(now, -YEAR_MS);
	(void)snprintf(r->by, sizeof(r->by), "nobody");
	if (strcmp(what, "tombstone") == 0) {
		r->kind = OBJECT_TOMBSTONE;
		r->until = r->time;
		parse(id, &r->snapshot);
	} else if (strcmp(what, "release") == 0) {
		r->kind = OBJECT_HOLD;
		parse(id, &r->releases);
	} else if (strcmp(what, "guard") == 0) {
		r->kind = OBJECT_GUARD;
		r->until = instant_add_ms(now, YEAR_MS);
		name_all(s, r);
	} else if (strcmp(what, "mark") == 0) {
		r->kind = OBJECT_MARK;
		name_all(s, r);
	} else {
		r->kind = OBJECT_QUARANTINE;
		name_all(s, r);
	}
}

int main(int argc, char **argv)
{
	struct keyring_credential *key = NULL;
	struct repository *r = NULL;
	struct record record;

	if (argc < 4) {
		(void)fprintf(stderr, "forge URL KEY-FILE WHAT [ID]\n");
		return 2;
	}
	must(secret_start(&e), "memory");
	must(keyring_credential_key_file(argv[2], &key, &e), "the key");
	must(repository_open(argv[1], key, &r, &e), "the repository");
	record_init(&record, OBJECT_TOMBSTONE);
	fill(repository_store(r), argv[3], argc > 4 ? argv[4] : "", &record);
	must(record_put(repository_store(r), repository_keys(r), &record, 0,
			&e),
	     "the record");
	record_done(&record);
	repository_close(r);
	keyring_credential_free(key);
	return 0;
}
