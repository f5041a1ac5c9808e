#include "storage/repository/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "storage/repository/fields.h"

/* The tags of FORMAT.md §8. */
enum {
	TAG_SNAPSHOT = 1,
	TAG_SESSION,
	TAG_SOURCE,
	TAG_TYPE,
	TAG_HOST,
	TAG_PATH,
	TAG_TAG,
	TAG_BEGUN,
	TAG_ENDED,
	TAG_CLAIMED,
	TAG_STATE,
	TAG_TREE,
	TAG_HINTS,
	TAG_FILES,
	TAG_DIRS,
	TAG_OTHERS,
	TAG_BYTES,
	TAG_PARENT,
	TAG_PROGRAM,
	TAG_EXCLUDE,
	TAG_ERROR_LIST,
	TAG_ERRORS,
	TAG_USER,
	TAG_DOMAIN,
};

void manifest_init(struct manifest *m)
{
	*m = (struct manifest){ .tree = { .empty = true },
				.hints = { .empty = true },
				.state = MANIFEST_COMPLETE };
}

void manifest_list_done(struct manifest_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].data);
	free(l->v);
	*l = (struct manifest_list){ 0 };
}

void manifest_done(struct manifest *m)
{
	manifest_list_done(&m->paths);
	manifest_list_done(&m->tags);
	manifest_list_done(&m->excludes);
	manifest_init(m);
}

int manifest_list_add(struct manifest_list *l, const void *bytes, size_t n,
		      struct err *e)
{
	uint8_t *copy;

	if (l->n >= MANIFEST_LIST_MAX) {
		(void)err_set(e, ERR_USAGE,
			      "more than %d paths, tags or patterns",
			      MANIFEST_LIST_MAX);
		return err_hint(e, "name a folder instead of what it holds");
	}
	/* There is room up to the next power of two. */
	if ((l->n & (l->n - 1)) == 0) {
		struct manifest_bytes *grown = reallocarray(
			l->v, l->n ? 2 * l->n : 1, sizeof(*grown));

		if (!grown)
			return err_oom(e);
		l->v = grown;
	}
	copy = malloc(n + 1);
	if (!copy)
		return err_oom(e);
	if (n)
		memcpy(copy, bytes, n);
	copy[n] = 0;
	l->v[l->n++] = (struct manifest_bytes){ .data = copy, .len = n };
	return 0;
}

bool manifest_list_equal(const struct manifest_list *a,
			 const struct manifest_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].len != b->v[i].len ||
		    memcmp(a->v[i].data, b->v[i].data, a->v[i].len) != 0)
			return false;
	return true;
}

bool manifest_is_stream(const struct manifest *m)
{
	return strcmp(m->type, "command") == 0 || strcmp(m->type, "block") == 0;
}

static int add_list(struct buf *out, uint64_t tag,
		    const struct manifest_list *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		if (fields_add(out, tag, l->v[i].data, l->v[i].len, e))
			return -1;
	return 0;
}

static int add_root(struct buf *out, uint64_t tag,
		    const struct manifest_root *root, struct err *e)
{
	uint8_t bytes[1 + CHUNK_ID_SIZE];

	if (root->empty)
		return 0;
	bytes[0] = root->height;
	memcpy(bytes + 1, root->id.b, CHUNK_ID_SIZE);
	return fields_add(out, tag, bytes, sizeof(bytes), e);
}

static int add_text(struct buf *out, uint64_t tag, const char *s, struct err *e)
{
	return *s ? fields_add_str(out, tag, s, e) : 0;
}

static int add_uint(struct buf *out, uint64_t tag, uint64_t v, struct err *e)
{
	return v ? fields_add_uint(out, tag, v, e) : 0;
}

int manifest_encode(const struct manifest *m, struct buf *out, struct err *e)
{
	if (fields_add_id(out, TAG_SNAPSHOT, m->snapshot, e) ||
	    fields_add_id(out, TAG_SESSION, m->session, e) ||
	    add_text(out, TAG_SOURCE, m->source, e) ||
	    add_text(out, TAG_TYPE, m->type, e) ||
	    add_text(out, TAG_HOST, m->host, e) ||
	    add_list(out, TAG_PATH, &m->paths, e) ||
	    add_list(out, TAG_TAG, &m->tags, e) ||
	    fields_add_instant(out, TAG_BEGUN, m->begun, e) ||
	    fields_add_instant(out, TAG_ENDED, m->ended, e))
		return -1;
	if (m->has_claimed &&
	    fields_add_instant(out, TAG_CLAIMED, m->claimed, e))
		return -1;
	if (fields_add_uint(out, TAG_STATE, m->state, e) ||
	    add_root(out, TAG_TREE, &m->tree, e) ||
	    add_root(out, TAG_HINTS, &m->hints, e) ||
	    add_uint(out, TAG_FILES, m->files, e) ||
	    add_uint(out, TAG_DIRS, m->dirs, e) ||
	    add_uint(out, TAG_OTHERS, m->others, e) ||
	    add_uint(out, TAG_BYTES, m->bytes, e))
		return -1;
	if (!object_id_is_zero(m->parent) &&
	    fields_add_id(out, TAG_PARENT, m->parent, e))
		return -1;
	if (add_text(out, TAG_PROGRAM, m->program, e) ||
	    add_list(out, TAG_EXCLUDE, &m->excludes, e))
		return -1;
	if (m->errors && (fields_add(out, TAG_ERROR_LIST, m->error_list.b,
				     CHUNK_ID_SIZE, e) ||
			  fields_add_uint(out, TAG_ERRORS, m->errors, e)))
		return -1;
	if (add_text(out, TAG_USER, m->user, e))
		return -1;
	return add_uint(out, TAG_DOMAIN, m->domain, e);
}

static void take_root(struct field *f, struct manifest_root *root)
{
	root->height = cursor_u8(&f->value);
	cursor_copy(&f->value, root->id.b, CHUNK_ID_SIZE);
	root->empty = false;
	if (f->value.left || root->height > 32)
		f->value.bad = true;
}

static uint64_t take_uint_max(struct field *f, uint64_t max)
{
	const uint64_t v = field_uint(f);

	if (v > max)
		f->value.bad = true;
	return v;
}

/*
 * Sparse files can add up to more.  It decides nothing, and is no JSON that
 * others read.
 */
static uint64_t take_count(struct field *f)
{
	const uint64_t v = field_uint(f);

	return v > INT64_MAX ? INT64_MAX : v;
}

/* The text and number fields; one that is not known here is left alone. */
static void take_simple(struct field *f, struct manifest *m)
{
	switch (f->tag) {
	case TAG_SOURCE:
		field_str(f, m->source, sizeof(m->source));
		return;
	case TAG_TYPE:
		field_str(f, m->type, sizeof(m->type));
		return;
	case TAG_HOST:
		field_str(f, m->host, sizeof(m->host));
		return;
	case TAG_USER:
		field_str(f, m->user, sizeof(m->user));
		return;
	case TAG_PROGRAM:
		field_str(f, m->program, sizeof(m->program));
		return;
	case TAG_FILES:
		m->files = take_count(f);
		return;
	case TAG_DIRS:
		m->dirs = take_count(f);
		return;
	case TAG_OTHERS:
		m->others = take_count(f);
		return;
	case TAG_BYTES:
		m->bytes = take_count(f);
		return;
	case TAG_ERRORS:
		m->errors = take_count(f);
		return;
	case TAG_DOMAIN:
		m->domain = (uint16_t)take_uint_max(f, UINT16_MAX);
		return;
	default:
		return;
	}
}

static int take_string(const struct field *f, struct manifest_list *l,
		       struct err *e)
{
	if (l->n >= MANIFEST_LIST_MAX)
		return err_set(e, ERR_CORRUPT,
			       "field %u of a manifest repeats too often",
			       (unsigned int)f->tag);
	return manifest_list_add(l, f->value.p, f->value.left, e);
}

static int take_field(struct field *f, struct manifest *m, struct err *e)
{
	switch (f->tag) {
	case TAG_SNAPSHOT:
		m->snapshot = field_id(f);
		return 0;
	case TAG_SESSION:
		m->session = field_id(f);
		return 0;
	case TAG_PARENT:
		m->parent = field_id(f);
		return 0;
	case TAG_PATH:
		return take_string(f, &m->paths, e);
	case TAG_TAG:
		return take_string(f, &m->tags, e);
	case TAG_EXCLUDE:
		return take_string(f, &m->excludes, e);
	case TAG_BEGUN:
		m->begun = field_instant(f);
		return 0;
	case TAG_ENDED:
		m->ended = field_instant(f);
		return 0;
	case TAG_CLAIMED:
		m->claimed = field_instant(f);
		m->has_claimed = true;
		return 0;
	case TAG_STATE:
		m->state = (enum manifest_state)take_uint_max(f, 2);
		return 0;
	case TAG_TREE:
		take_root(f, &m->tree);
		return 0;
	case TAG_HINTS:
		take_root(f, &m->hints);
		return 0;
	case TAG_ERROR_LIST:
		cursor_copy(&f->value, m->error_list.b, CHUNK_ID_SIZE);
		return 0;
	default:
		take_simple(f, m);
		return 0;
	}
}

int manifest_decode(const void *payload, size_t n, struct manifest *m,
		    struct err *e)
{
	struct cursor c = cursor_of(payload, n);
	uint64_t last = 0;
	struct field f;
	int more;

	while ((more = fields_next(&c, &last, &f, e)) == 1) {
		if (take_field(&f, m, e))
			return -1;
		if (f.value.bad)
			return err_set(e, ERR_CORRUPT,
				       "field %u of a manifest is malformed",
				       (unsigned int)f.tag);
	}
	if (more < 0)
		return -1;
	if (object_id_is_zero(m->snapshot) || object_id_is_zero(m->session) ||
	    (m->state != MANIFEST_COMPLETE && m->state != MANIFEST_PARTIAL))
		return err_set(e, ERR_CORRUPT,
			       "a manifest lacks its id, session or state");
	return 0;
}
