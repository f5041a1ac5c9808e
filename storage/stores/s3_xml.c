/*
 * One reader walks the elements and hands each text with the path of names that
 * leads to it to whoever asked; nothing is kept in between.  A list is walked
 * twice, as it is in memory anyway: how its keys are encoded may stand behind
 * them, and a visitor is to see nothing of a list that turns out to be broken.
 */
#include "storage/stores/s3_xml.h"

#include <assert.h>
#include <expat.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/text.h"
#include "storage/stores/s3_sign.h"

#define BYTES_MAX   ((size_t)64 << 20) /* of a reply: 10,000 of the largest */
#define ITEMS_MAX   10000	       /* ten times what is asked for */
#define DEPTH_MAX   16
#define NAME_LENGTH 64
#define TEXT_MAX    (16 << 10) /* a session token has 8 KiB at most */

/* --- Memory: what expat copies may be keys -------------------------------- */

static void wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *wiping_realloc(void *p, size_t n)
{
	void *fresh = malloc(n);
	size_t had;

	if (!fresh || !p)
		return fresh;
	had = malloc_usable_size(p);
	memcpy(fresh, p, had < n ? had : n);
	wiping_free(p);
	return fresh;
}

static const XML_Memory_Handling_Suite wiping = {
	.malloc_fcn = malloc,
	.realloc_fcn = wiping_realloc,
	.free_fcn = wiping_free,
};

/* --- The reader ----------------------------------------------------------- */

struct reader {
	/* An element begins; one ends, with its text (NULL when there were
	 * elements in it).  0 goes on; what else is told ends the reading. */
	int (*begin)(void *arg, const char *path, struct err *e);
	int (*end)(void *arg, const char *path, const char *text,
		   struct err *e);
	void *arg;
	bool cut; /* texts that are too long, rather than refuse them */

	XML_Parser parser;
	struct err *e;
	int result;
	bool leaf; /* nothing but text in the element so far */
	struct buf text;
	unsigned int depth;
	size_t lengths[DEPTH_MAX]; /* of path, before each element */
	size_t length;
	char path[DEPTH_MAX * (NAME_LENGTH + 1) + 1];
};

/* Handlers may be called once more after this. */
static void stop(struct reader *r, int result)
{
	if (result == 0)
		return;
	r->result = result;
	(void)XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
			     const XML_Char **attributes)
{
	struct reader *r = arg;
	const size_t n = strlen(name);

	(void)attributes;
	if (r->result)
		return;
	if (r->depth == DEPTH_MAX || n > NAME_LENGTH) {
		stop(r, err_set(r->e, ERR_CORRUPT,
				"elements are nested too deeply, or have names "
				"that are too long"));
		return;
	}
	r->lengths[r->depth++] = r->length;
	if (r->length)
		r->path[r->length++] = '/';
	memcpy(r->path + r->length, name, n + 1);
	r->length += n;
	buf_clear(&r->text);
	r->leaf = true;
	stop(r, r->begin ? r->begin(r->arg, r->path, r->e) : 0);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct reader *r = arg;

	(void)name;
	if (r->result)
		return;
	stop(r,
	     r->end(r->arg, r->path, r->leaf ? buf_str(&r->text) : NULL, r->e));
	assert(r->depth > 0);
	r->length = r->lengths[--r->depth];
	r->path[r->length] = '\0';
	r->leaf = false;
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int len)
{
	struct reader *r = arg;
	const size_t room = r->text.max - r->text.len;
	size_t n = (size_t)len;

	if (r->result || !r->leaf)
		return;
	if (r->cut && n > room)
		n = room;
	if (n > room)
		stop(r,
		     err_set(r->e, ERR_CORRUPT,
			     "a text is longer than %zu bytes", r->text.max));
	else if (buf_add(&r->text, s, n, r->e) < 0)
		stop(r, -1);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name,
			       const XML_Char *system, const XML_Char *public,
			       int internal)
{
	struct reader *r = arg;

	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	if (!r->result)
		stop(r, err_set(r->e, ERR_CORRUPT, "it has a document type"));
}

static void XMLCALL on_declaration(void *arg, const XML_Char *version,
				   const XML_Char *encoding, int standalone)
{
	struct reader *r = arg;

	(void)version;
	(void)standalone;
	if (!r->result && encoding && strcasecmp(encoding, "UTF-8") != 0)
		stop(r, err_set(r->e, ERR_CORRUPT, "its encoding is %s",
				text_quote_str(encoding).s));
}

static int parse(struct reader *r, const void *xml, size_t n)
{
	const enum XML_Status status = XML_Parse(r->parser, (const char *)xml,
						 (int)n, 1);
	enum XML_Error error;

	if (r->result || status == XML_STATUS_OK)
		return r->result;
	error = XML_GetErrorCode(r->parser);
	if (error == XML_ERROR_NO_MEMORY)
		return err_oom(r->e);
	return err_set(r->e, ERR_CORRUPT, "%s (line %llu)",
		       XML_ErrorString(error),
		       (unsigned long long)XML_GetCurrentLineNumber(r->parser));
}

/* 0 at the end of what was well-formed; else what a callback said, or -1. */
static int read_xml(struct reader *r, const void *xml, size_t n, struct err *e)
{
	int result;

	/* Other encodings than UTF-8 give themselves away by NULs, which no
	 * XML has: expat would follow their byte order mark. */
	if (n > BYTES_MAX || memchr(xml, '\0', n))
		return err_set(e, ERR_CORRUPT,
			       "it is no UTF-8, or longer than %zu MiB",
			       BYTES_MAX >> 20);
	r->parser = XML_ParserCreate_MM("UTF-8", &wiping, NULL);
	if (!r->parser)
		return err_oom(e);
	r->e = e;
	buf_init(&r->text, TEXT_MAX);
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	XML_SetXmlDeclHandler(r->parser, on_declaration);
	result = parse(r, xml, n);
	XML_ParserFree(r->parser);
	buf_wipe(&r->text);
	return result;
}

/* Not the server's fault when there was no memory. */
static int senseless(const char *what, struct err *e)
{
	if (e->code == ERR_CORRUPT)
		return err_wrap(e, "the server's %s makes no sense", what);
	return -1;
}

/* --- Lists -----------------------------------------------------------------
 */

enum field {
	FIELD_KEY = 1,
	FIELD_SIZE = 2,
	FIELD_WHEN = 4,
	FIELD_ID = 8,
	FIELD_MORE = 16,
	FIELD_TOKEN = 32, /* NextContinuationToken, NextKeyMarker */
	FIELD_ID_MARKER = 64,
	FIELD_ENCODING = 128,
};
#define ITEM_FIELDS (FIELD_KEY | FIELD_SIZE | FIELD_WHEN | FIELD_ID)

/* What a reply consists of; paths begin below the root. */
struct kind {
	const char *root;
	const char *item;
	const char *deletion; /* another kind of item, without a size; NULL */
	unsigned int must;    /* be there of each item */
	bool token_encoded;
	struct {
		const char *path;
		enum field field;
	} fields[12];
};

static const struct kind objects = {
	.root = "ListBucketResult",
	.item = "Contents",
	.must = FIELD_KEY | FIELD_SIZE,
	.fields = {
		{ "Contents/Key", FIELD_KEY },
		{ "Contents/Size", FIELD_SIZE },
		{ "Contents/LastModified", FIELD_WHEN },
		{ "IsTruncated", FIELD_MORE },
		{ "NextContinuationToken", FIELD_TOKEN },
		{ "EncodingType", FIELD_ENCODING },
	},
};

static const struct kind uploads = {
	.root = "ListMultipartUploadsResult",
	.item = "Upload",
	.must = FIELD_KEY | FIELD_ID | FIELD_WHEN,
	.token_encoded = true,
	.fields = {
		{ "Upload/Key", FIELD_KEY },
		{ "Upload/UploadId", FIELD_ID },
		{ "Upload/Initiated", FIELD_WHEN },
		{ "IsTruncated", FIELD_MORE },
		{ "NextKeyMarker", FIELD_TOKEN },
		{ "NextUploadIdMarker", FIELD_ID_MARKER },
		{ "EncodingType", FIELD_ENCODING },
	},
};

static const struct kind versions = {
	.root = "ListVersionsResult",
	.item = "Version",
	.deletion = "DeleteMarker",
	.must = FIELD_KEY | FIELD_ID | FIELD_SIZE,
	.token_encoded = true,
	.fields = {
		{ "Version/Key", FIELD_KEY },
		{ "Version/VersionId", FIELD_ID },
		{ "Version/Size", FIELD_SIZE },
		{ "Version/LastModified", FIELD_WHEN },
		{ "DeleteMarker/Key", FIELD_KEY },
		{ "DeleteMarker/VersionId", FIELD_ID },
		{ "DeleteMarker/LastModified", FIELD_WHEN },
		{ "IsTruncated", FIELD_MORE },
		{ "NextKeyMarker", FIELD_TOKEN },
		{ "NextVersionIdMarker", FIELD_ID_MARKER },
		{ "EncodingType", FIELD_ENCODING },
	},
};

struct listing {
	const struct kind *kind;
	s3_visit *visit; /* NULL: the first pass, which judges */
	void *visit_arg;
	bool encoded;
	/* Keys that could not be, if they are encoded and if they are not. */
	bool bad_encoded;
	bool bad_plain;
	unsigned int seen; /* fields of the page, and of the item */
	unsigned int items;
	struct s3_page page;
	char token[3 * S3_TOKEN_MAX + 1]; /* before it is decoded */
	struct s3_item item;
};

static int corrupt(struct err *e, const char *why)
{
	return err_set(e, ERR_CORRUPT, "%s", why);
}

/* Whether it fits and is not empty. */
static bool copy(const char *text, char *out, size_t room)
{
	const size_t n = strlen(text);

	if (n == 0 || n >= room)
		return false;
	memcpy(out, text, n + 1);
	return true;
}

static bool copy_key(const char *text, bool encoded, char *out, size_t room)
{
	ptrdiff_t n;

	if (!encoded)
		return copy(text, out, room);
	n = s3_decode(text, strlen(text), true, out, room);
	return n > 0 && (size_t)n < room;
}

static int take_key(struct listing *l, const char *text, struct err *e)
{
	char *out = l->item.key;
	const size_t room = sizeof(l->item.key);

	if (!l->visit) {
		l->bad_encoded = !copy_key(text, true, out, room) ||
				 l->bad_encoded;
		l->bad_plain = !copy_key(text, false, out, room) ||
			       l->bad_plain;
		return 0;
	}
	return copy_key(text, l->encoded, out, room)
		       ? 0
		       : corrupt(e, "a key is none");
}

static int take_size(const char *text, uint64_t *ret, struct err *e)
{
	int64_t size = 0;

	if (!text_number(text, 0, INT64_MAX, &size))
		return err_set(e, ERR_CORRUPT, "%s is no size",
			       text_quote_str(text).s);
	*ret = (uint64_t)size;
	return 0;
}

static int take_when(const char *text, struct instant *ret, struct err *e)
{
	struct err ignored;

	if (instant_parse(text, ret, &ignored) < 0)
		return err_set(e, ERR_CORRUPT, "%s is no time",
			       text_quote_str(text).s);
	return 0;
}

static int take_more(const char *text, bool *ret, struct err *e)
{
	*ret = strcmp(text, "true") == 0;
	if (!*ret && strcmp(text, "false") != 0)
		return corrupt(e, "IsTruncated is neither true nor false");
	return 0;
}

static int take(struct listing *l, enum field field, const char *text,
		struct err *e)
{
	if (!text || (l->seen & field))
		return corrupt(e, "an element is there twice, or is no text");
	l->seen |= field;
	if (l->visit && !(field & ITEM_FIELDS))
		return 0; /* the page was judged */
	switch (field) {
	case FIELD_KEY:
		return take_key(l, text, e);
	case FIELD_SIZE:
		return take_size(text, &l->item.size, e);
	case FIELD_WHEN:
		return take_when(text, &l->item.when, e);
	case FIELD_ID:
		return copy(text, l->item.id, sizeof(l->item.id))
			       ? 0
			       : corrupt(e, "an id is none");
	case FIELD_MORE:
		return take_more(text, &l->page.more, e);
	case FIELD_TOKEN:
		/* An empty one is as good as none. */
		return !*text || copy(text, l->token, sizeof(l->token))
			       ? 0
			       : corrupt(e, "a token is too long");
	case FIELD_ID_MARKER:
		return !*text || copy(text, l->page.id_marker,
				      sizeof(l->page.id_marker))
			       ? 0
			       : corrupt(e, "a marker is too long");
	case FIELD_ENCODING:
		l->encoded = strcmp(text, "url") == 0;
		return l->encoded ? 0
				  : corrupt(e, "keys are in an encoding that "
					       "nobody asked for");
	}
	return corrupt(e, "");
}

/* path below the root, or NULL for the root. */
static const char *below_root(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash ? slash + 1 : NULL;
}

static int check_root(const char *path, const char *root, struct err *e)
{
	if (strcmp(path, root) == 0)
		return 0;
	return err_set(e, ERR_CORRUPT, "it is a %s instead of a %s",
		       text_quote_str(path).s, root);
}

static bool is_item(const struct kind *kind, const char *below)
{
	return strcmp(below, kind->item) == 0 ||
	       (kind->deletion && strcmp(below, kind->deletion) == 0);
}

static int list_begin(void *arg, const char *path, struct err *e)
{
	struct listing *l = arg;
	const char *below = below_root(path);

	if (!below)
		return check_root(path, l->kind->root, e);
	if (!is_item(l->kind, below))
		return 0;
	l->seen &= ~(unsigned int)ITEM_FIELDS;
	memset(&l->item, 0, sizeof(l->item));
	l->item.deletion = strcmp(below, l->kind->item) != 0;
	if (++l->items > ITEMS_MAX)
		return corrupt(e, "more was sent than was asked for");
	return 0;
}

static int end_item(struct listing *l, struct err *e)
{
	unsigned int must = l->kind->must;
	int r;

	if (l->item.deletion)
		must &= ~(unsigned int)FIELD_SIZE;
	if ((l->seen & must) != must)
		return err_set(e, ERR_CORRUPT, "of a %s something is missing",
			       l->kind->item);
	if (!l->visit)
		return 0;
	r = l->visit(l->visit_arg, &l->item, e);
	assert(r >= -1 && r <= 1);
	return r;
}

static int list_end(void *arg, const char *path, const char *text,
		    struct err *e)
{
	struct listing *l = arg;
	const char *below = below_root(path);

	if (!below)
		return 0;
	if (is_item(l->kind, below))
		return end_item(l, e);
	for (size_t i = 0; l->kind->fields[i].path; i++)
		if (strcmp(below, l->kind->fields[i].path) == 0)
			return take(l, l->kind->fields[i].field, text, e);
	return 0;
}

/* What only the whole tells. */
static int judge(struct listing *l, struct err *e)
{
	struct s3_page *page = &l->page;

	if (!(l->seen & FIELD_MORE))
		return corrupt(e, "IsTruncated is missing");
	if (l->encoded ? l->bad_encoded : l->bad_plain)
		return corrupt(e, "a key is none");
	if (!page->more) {
		page->id_marker[0] = '\0';
		return 0;
	}
	if (!copy_key(l->token, l->encoded && l->kind->token_encoded,
		      page->token, sizeof(page->token)))
		return corrupt(e, "how to go on is missing");
	return 0;
}

static int walk(struct listing *l, const void *xml, size_t n, struct err *e)
{
	struct reader r = { .begin = list_begin, .end = list_end, .arg = l };

	l->seen = 0;
	l->items = 0;
	return read_xml(&r, xml, n, e);
}

static int list(const struct kind *kind, const void *xml, size_t n,
		s3_visit *visit, void *arg, struct s3_page *ret_page,
		struct err *e)
{
	struct listing *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_oom(e);
	l->kind = kind;
	r = walk(l, xml, n, e);
	if (r == 0)
		r = judge(l, e);
	if (r < 0) {
		free(l);
		return senseless("list", e);
	}
	l->visit = visit;
	l->visit_arg = arg;
	r = walk(l, xml, n, e);
	if (r == 0)
		*ret_page = l->page;
	free(l);
	return r;
}

int s3_xml_list(const void *xml, size_t n, s3_visit *visit, void *arg,
		struct s3_page *ret_page, struct err *e)
{
	return list(&objects, xml, n, visit, arg, ret_page, e);
}

int s3_xml_uploads(const void *xml, size_t n, s3_visit *visit, void *arg,
		   struct s3_page *ret_page, struct err *e)
{
	return list(&uploads, xml, n, visit, arg, ret_page, e);
}

int s3_xml_versions(const void *xml, size_t n, s3_visit *visit, void *arg,
		    struct s3_page *ret_page, struct err *e)
{
	return list(&versions, xml, n, visit, arg, ret_page, e);
}

/* --- Errors ----------------------------------------------------------------
 */

#define IN(member)                         \
	offsetof(struct s3_error, member), \
		sizeof(((struct s3_error *)NULL)->member)

static const struct {
	const char *path;
	size_t offset;
	size_t room;
} error_fields[] = {
	{ "Error/Code", IN(code) },
	{ "Error/Message", IN(message) },
	{ "Error/RequestId", IN(request) },
	{ "Error/Region", IN(region) },
	{ "Error/Endpoint", IN(endpoint) },
	{ "ErrorResponse/Error/Code", IN(code) },
	{ "ErrorResponse/Error/Message", IN(message) },
	{ "ErrorResponse/RequestId", IN(request) },
};

/* The first of several texts stays. */
static int error_end(void *arg, const char *path, const char *text,
		     struct err *e)
{
	(void)e;
	for (size_t i = 0; i < sizeof(error_fields) / sizeof(error_fields[0]);
	     i++) {
		char *out = (char *)arg + error_fields[i].offset;

		if (strcmp(path, error_fields[i].path) != 0 || !text || *out)
			continue;
		for (size_t k = 0; k + 1 < error_fields[i].room && text[k]; k++)
			if (text[k] >= ' ' && text[k] <= '~')
				out[k] = text[k];
			else
				out[k] = '?';
	}
	return 0;
}

int s3_xml_error(const void *xml, size_t n, struct s3_error *ret)
{
	struct s3_error found = { .code = "" };
	struct reader r = { .end = error_end, .arg = &found, .cut = true };
	struct err ignored;

	/* A reply that was cut short has still said what is the matter. */
	(void)read_xml(&r, xml, n, &ignored);
	if (!found.code[0])
		return 0;
	*ret = found;
	return 1;
}

/* --- Single texts ----------------------------------------------------------
 */

struct wanted {
	const char *root;
	const char *path;
	char *out;
	size_t room;
	bool found;
};

static int text_begin(void *arg, const char *path, struct err *e)
{
	const struct wanted *w = arg;

	return below_root(path) ? 0 : check_root(path, w->root, e);
}

static int text_end(void *arg, const char *path, const char *text,
		    struct err *e)
{
	struct wanted *w = arg;
	const char *below = below_root(path);

	if (!below || strcmp(below, w->path) != 0)
		return 0;
	if (w->found || !text || !copy(text, w->out, w->room))
		return err_set(e, ERR_CORRUPT,
			       "%s is empty, too long, or there twice",
			       w->path);
	w->found = true;
	return 0;
}

int s3_xml_text(const void *xml, size_t n, const char *root, const char *path,
		char *out, size_t room, struct err *e)
{
	struct wanted w = {
		.root = root,
		.path = path,
		.out = out,
		.room = room,
	};
	struct reader r = { .begin = text_begin, .end = text_end, .arg = &w };
	int result;

	assert(room > 0);
	result = read_xml(&r, xml, n, e);
	if (result == 0 && !w.found)
		result = err_set(e, ERR_CORRUPT, "it has no %s", path);
	if (result == 0)
		return 0;
	explicit_bzero(out, room);
	return senseless("reply", e);
}
