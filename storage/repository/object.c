#include "storage/repository/object.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"

/* What follows the folder in a name. */
enum form {
	FORM_ALONE,	/* the folder is the whole name */
	FORM_ID,	/* ID */
	FORM_SHARD,	/* XX/ID */
	FORM_PAIR,	/* ID-ID */
	FORM_NUMBER,	/* 8 digits */
	FORM_NUMBER_ID, /* 16 digits-ID */
};

static const struct kind {
	const char *name;
	const char *folder;
	enum form form;
	bool guarded;
} kinds[OBJECT_KIND_END] = {
	[0] = { "object", "", FORM_ALONE, false },
	[OBJECT_CONFIG] = { "config", "config", FORM_ALONE, true },
	[OBJECT_SLOT] = { "key slot", "keys", FORM_ID, true },
	[OBJECT_KEYRING] = { "keyring", "keyring", FORM_NUMBER, true },
	[OBJECT_DATA_PACK] = { "data pack", "data", FORM_SHARD, true },
	[OBJECT_META_PACK] = { "meta pack", "meta", FORM_SHARD, true },
	[OBJECT_INDEX] = { "index", "index", FORM_ID, true },
	[OBJECT_MANIFEST] = { "manifest", "snapshots", FORM_PAIR, true },
	[OBJECT_RECEIPT] = { "receipt", "receipts", FORM_ID, true },
	[OBJECT_SESSION] = { "session", "sessions", FORM_ID, false },
	[OBJECT_FENCE] = { "fence", "fences", FORM_ID, false },
	[OBJECT_VOID] = { "void", "voids", FORM_PAIR, false },
	[OBJECT_MARK] = { "mark", "marks", FORM_ID, false },
	[OBJECT_TOMBSTONE] = { "tombstone", "tombstones", FORM_PAIR, false },
	[OBJECT_UNDELETE] = { "undelete", "undeletes", FORM_PAIR, true },
	[OBJECT_HOLD] = { "hold", "holds", FORM_ID, true },
	[OBJECT_LOCK] = { "lock", "locks", FORM_PAIR, true },
	[OBJECT_PIN] = { "pin", "pins", FORM_ID, false },
	[OBJECT_SEGMENT] = { "catalog segment", "catalog", FORM_NUMBER_ID,
			     true },
	[OBJECT_QUARANTINE] = { "quarantine", "quarantine", FORM_ID, false },
	[OBJECT_CENSUS] = { "census", "censuses", FORM_ID, false },
	[OBJECT_INVENTORY] = { "inventory", "inventories", FORM_ID, false },
	[OBJECT_GUARD] = { "guard", "guards", FORM_ID, false },
};

static const uint8_t magic[8] = { 's', 'n', 'a', 'p', 'c', 't', 'l', '\n' };

struct object_id object_id_new(void)
{
	struct object_id id;

	secret_nonce(id.b, sizeof(id.b));
	return id;
}

bool object_id_equal(struct object_id a, struct object_id b)
{
	return object_id_compare(a, b) == 0;
}

int object_id_compare(struct object_id a, struct object_id b)
{
	return memcmp(a.b, b.b, sizeof(a.b));
}

bool object_id_is_zero(struct object_id id)
{
	return object_id_equal(id, (struct object_id){ { 0 } });
}

void object_id_format(struct object_id id, char out[OBJECT_ID_TEXT])
{
	text_hex(id.b, sizeof(id.b), out);
}

bool object_id_parse(const char *text, struct object_id *ret)
{
	struct object_id id;

	if (strlen(text) != OBJECT_ID_TEXT - 1 ||
	    !text_unhex(text, sizeof(id.b), id.b))
		return false;
	*ret = id;
	return true;
}

static const struct kind *kind_row(enum object_kind kind)
{
	return &kinds[(unsigned int)kind < OBJECT_KIND_END ? kind : 0];
}

const char *object_kind_name(enum object_kind kind)
{
	return kind_row(kind)->name;
}

const char *object_kind_folder(enum object_kind kind)
{
	return kind_row(kind)->folder;
}

bool object_is_guarded(const char *name)
{
	const size_t n = strcspn(name, "/");

	for (unsigned int k = OBJECT_CONFIG; k < OBJECT_KIND_END; k++)
		if (strlen(kinds[k].folder) == n &&
		    strncmp(kinds[k].folder, name, n) == 0)
			return kinds[k].guarded;
	return false;
}

struct object_name object_name(enum object_kind kind, struct object_id id)
{
	const struct kind *row = kind_row(kind);
	struct object_name name;
	char text[OBJECT_ID_TEXT];

	assert(row->form == FORM_ID || row->form == FORM_SHARD);
	object_id_format(id, text);
	if (row->form == FORM_SHARD)
		(void)snprintf(name.s, sizeof(name.s), "%s/%.2s/%s",
			       row->folder, text, text);
	else
		(void)snprintf(name.s, sizeof(name.s), "%s/%s", row->folder,
			       text);
	return name;
}

struct object_name object_name_pair(enum object_kind kind,
				    struct object_id first,
				    struct object_id last)
{
	const struct kind *row = kind_row(kind);
	struct object_name name;
	char a[OBJECT_ID_TEXT];
	char b[OBJECT_ID_TEXT];

	assert(row->form == FORM_PAIR);
	object_id_format(first, a);
	object_id_format(last, b);
	(void)snprintf(name.s, sizeof(name.s), "%s/%s-%s", row->folder, a, b);
	return name;
}

struct object_name object_name_generation(uint32_t generation)
{
	struct object_name name;

	(void)snprintf(name.s, sizeof(name.s), "%s/%08x",
		       kinds[OBJECT_KEYRING].folder, generation);
	return name;
}

struct object_name object_name_segment(uint64_t sequence, struct object_id id)
{
	struct object_name name;
	char text[OBJECT_ID_TEXT];

	object_id_format(id, text);
	(void)snprintf(name.s, sizeof(name.s), "%s/%016llx-%s",
		       kinds[OBJECT_SEGMENT].folder,
		       (unsigned long long)sequence, text);
	return name;
}

/* digits lower-case hexadecimal digits, moving *s past them. */
static bool take_number(const char **s, unsigned int digits, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < digits; i++) {
		const char c = (*s)[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*s += digits;
	*ret = v;
	return true;
}

static bool take_id(const char **s, struct object_id *ret)
{
	uint64_t byte;

	for (size_t i = 0; i < sizeof(ret->b); i++) {
		if (!take_number(s, 2, &byte))
			return false;
		ret->b[i] = (uint8_t)byte;
	}
	return true;
}

static bool take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* The part of name behind "folder/", or NULL. */
static const char *behind_folder(const struct kind *row, const char *name)
{
	const size_t n = strlen(row->folder);

	if (strncmp(name, row->folder, n) != 0 || name[n] != '/')
		return NULL;
	return name + n + 1;
}

static bool parse_form(const struct kind *row, const char **s,
		       struct object_id *first, struct object_id *last)
{
	uint64_t number;

	switch (row->form) {
	case FORM_ID:
		return take_id(s, last);
	case FORM_SHARD:
		return take_number(s, 2, &number) && take_char(s, '/') &&
		       take_id(s, last) && last->b[0] == number;
	case FORM_PAIR:
		return take_id(s, first) && take_char(s, '-') &&
		       take_id(s, last);
	case FORM_NUMBER_ID:
		return take_number(s, 16, &number) && take_char(s, '-') &&
		       take_id(s, last);
	case FORM_ALONE:
	case FORM_NUMBER:
		break;
	}
	return false;
}

bool object_name_parse(enum object_kind kind, const char *name,
		       struct object_id *ret_first, struct object_id *ret_last)
{
	const struct kind *row = kind_row(kind);
	const char *s = behind_folder(row, name);
	struct object_id first = { { 0 } };
	struct object_id last = { { 0 } };

	if (!s || !parse_form(row, &s, &first, &last) || *s)
		return false;
	*ret_first = first;
	*ret_last = last;
	return true;
}

bool object_name_parse_number(enum object_kind kind, const char *name,
			      uint64_t *ret)
{
	const struct kind *row = kind_row(kind);
	const char *s = behind_folder(row, name);
	struct object_id id;
	uint64_t number;

	if (!s || (row->form != FORM_NUMBER && row->form != FORM_NUMBER_ID) ||
	    !take_number(&s, row->form == FORM_NUMBER ? 8 : 16, &number))
		return false;
	if (row->form == FORM_NUMBER_ID &&
	    (!take_char(&s, '-') || !take_id(&s, &id)))
		return false;
	if (*s)
		return false;
	*ret = number;
	return true;
}

uint8_t object_kind_version(enum object_kind kind)
{
	return kind == OBJECT_TOMBSTONE ? 1 : 0;
}

void object_header_encode(const struct object_header *h,
			  uint8_t out[OBJECT_HEADER_SIZE])
{
	memset(out, 0, OBJECT_HEADER_SIZE);
	memcpy(out, magic, sizeof(magic));
	out[8] = (uint8_t)h->kind;
	out[9] = h->version;
	for (unsigned int i = 0; i < 4; i++)
		out[12 + i] = (uint8_t)(h->epoch >> (8 * i));
	memcpy(out + 16, h->id.b, sizeof(h->id.b));
}

int object_header_decode(const uint8_t in[OBJECT_HEADER_SIZE],
			 enum object_kind expected, struct object_header *ret,
			 struct err *e)
{
	struct object_header h = { .kind = expected, .version = in[9] };

	if (memcmp(in, magic, sizeof(magic)) != 0)
		return err_set(e, ERR_CORRUPT, "it does not begin like a %s",
			       object_kind_name(expected));
	if (in[8] != (uint8_t)expected)
		return err_set(e, ERR_CORRUPT, "it is a %s where a %s belongs",
			       object_kind_name((enum object_kind)in[8]),
			       object_kind_name(expected));
	if (h.version > object_kind_version(expected))
		return err_set(e, ERR_NEWER,
			       "version %u of a %s is newer than this program",
			       h.version, object_kind_name(expected));
	if (in[10] || in[11])
		return err_set(e, ERR_CORRUPT, "the header of a %s is damaged",
			       object_kind_name(expected));
	for (unsigned int i = 0; i < 4; i++)
		h.epoch |= (uint32_t)in[12 + i] << (8 * i);
	memcpy(h.id.b, in + 16, sizeof(h.id.b));
	*ret = h;
	return 0;
}

bool object_is_damage(const struct err *why)
{
	return why->code == ERR_CORRUPT ||
	       (why->code == ERR_IO && why->sys == EIO);
}

static unsigned int log2_floor(uint64_t v)
{
	return 63 - (unsigned int)__builtin_clzll(v);
}

uint64_t object_padded(uint64_t n)
{
	unsigned int e;
	uint64_t mask;

	if (n < 4)
		return n;
	e = log2_floor(n);
	mask = ((uint64_t)1 << (e - (log2_floor(e) + 1))) - 1;
	/* Near 2^64 there is no larger Padmé size: nothing is that large. */
	return n > UINT64_MAX - mask ? UINT64_MAX : (n + mask) & ~mask;
}

bool object_is_padded(uint64_t n)
{
	return object_padded(n) == n;
}
