#include "storage/stores/s3_sign.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/openssl.h"
#include "base/secret.h"
#include "base/text.h"

#define HASH	      32 /* bytes of SHA-256 */
#define CANONICAL_MAX (64 << 10)

struct s3_keys *s3_keys_new(void)
{
	return secret_new(sizeof(struct s3_keys));
}

void s3_keys_free(struct s3_keys *k)
{
	secret_free(k);
}

int s3_sha256(const void *bytes, size_t n, char out[S3_SHA256_TEXT],
	      struct err *e)
{
	const struct openssl_crypto *lib = openssl_crypto(e);
	uint8_t hash[HASH];

	if (!lib)
		return -1;
	if (lib->EVP_Digest(n ? bytes : "", n, hash, NULL, lib->EVP_sha256(),
			    NULL) != 1)
		return err_set(e, ERR_NO_MEMORY, "cannot compute SHA-256");
	text_hex(hash, sizeof(hash), out);
	return 0;
}

int s3_md5(const void *bytes, size_t n, char out[S3_MD5_TEXT], struct err *e)
{
	const struct openssl_crypto *lib = openssl_crypto(e);
	uint8_t hash[16];

	if (!lib)
		return -1;
	if (lib->EVP_Digest(n ? bytes : "", n, hash, NULL, lib->EVP_md5(),
			    NULL) != 1) {
		(void)err_set(e, ERR_NO_MEMORY, "cannot compute MD5");
		return err_hint(e, "does the system's policy forbid MD5? S3 "
				   "wants that sum of what is locked");
	}
	text_base64(hash, sizeof(hash), out);
	return 0;
}

static int hmac(const void *key, size_t key_len, const char *text,
		uint8_t out[HASH], struct err *e)
{
	const struct openssl_crypto *lib = openssl_crypto(e);

	if (!lib)
		return -1;
	if (!lib->HMAC(lib->EVP_sha256(), key, (int)key_len,
		       (const uint8_t *)text, strlen(text), out, NULL))
		return err_set(e, ERR_NO_MEMORY, "cannot compute HMAC-SHA-256");
	return 0;
}

static bool unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

int s3_encode(const char *text, bool keep_slash, struct buf *out, struct err *e)
{
	for (; *text; text++) {
		const char c = *text;
		int r;

		if (unreserved(c) || (c == '/' && keep_slash))
			r = buf_add(out, &c, 1, e);
		else
			r = buf_addf(out, e, "%%%02X",
				     (unsigned int)(unsigned char)c);
		if (r < 0)
			return -1;
	}
	return 0;
}

ptrdiff_t s3_decode(const char *text, size_t n, bool plus, char *out,
		    size_t room)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++, len++) {
		char c = text[i];

		if (plus && c == '+')
			c = ' ';
		if (c == '%') {
			char pair[3] = { 0 };

			if (n - i < 3)
				return -1;
			memcpy(pair, text + i + 1, 2);
			if (!text_unhex(pair, 1, &c) || !c)
				return -1;
			i += 2;
		}
		if (len + 1 < room)
			out[len] = c;
	}
	if (room)
		out[len < room ? len : room - 1] = '\0';
	return (ptrdiff_t)len;
}

int s3_query_add(struct buf *query, const char *name, const char *value,
		 struct err *e)
{
	if (query->len && buf_add_byte(query, '&', e) < 0)
		return -1;
	if (s3_encode(name, false, query, e) < 0 ||
	    buf_add_byte(query, '=', e) < 0)
		return -1;
	return value ? s3_encode(value, false, query, e) : 0;
}

/* --- Headers ----------------------------------------------------------- */

struct header {
	const char *name;
	size_t name_len;
	const char *value;
};

/* Those that signing knows, in order of their names. */
struct added {
	struct header v[4];
	size_t n;
};

static void add_header(struct added *a, const char *name, const char *value)
{
	assert(a->n < sizeof(a->v) / sizeof(a->v[0]));
	a->v[a->n++] = (struct header){ name, strlen(name), value };
}

static struct header split(const char *line)
{
	const char *colon = strchr(line, ':');

	assert(colon && colon > line);
	return (struct header){ line, (size_t)(colon - line), colon + 1 };
}

static int compare_names(const struct header *a, const struct header *b)
{
	const size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	const int d = memcmp(a->name, b->name, n);

	return d ? d
		 : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* Runs of spaces count as one, those at both ends as none. */
static int add_trimmed(struct buf *b, const char *value, struct err *e)
{
	bool any = false;

	while (*value) {
		const size_t spaces = strspn(value, " \t");
		const size_t word = strcspn(value + spaces, " \t");

		if (word && any && spaces && buf_add_byte(b, ' ', e) < 0)
			return -1;
		if (buf_add(b, value + spaces, word, e) < 0)
			return -1;
		any = any || word;
		value += spaces + word;
	}
	return 0;
}

/* "name:value\n", or of the list of names "name" after a ";". */
static int add_canonical(struct buf *b, const struct header *h, bool names,
			 struct err *e)
{
	if (names) {
		const bool first = b->len == 0 || b->data[b->len - 1] == '\n';

		if (!first && buf_add_byte(b, ';', e) < 0)
			return -1;
		return buf_add(b, h->name, h->name_len, e);
	}
	if (buf_add(b, h->name, h->name_len, e) < 0 ||
	    buf_add_byte(b, ':', e) < 0 || add_trimmed(b, h->value, e) < 0)
		return -1;
	return buf_add_byte(b, '\n', e);
}

/* All headers in order of their names: both lists are, and share none. */
static int add_headers(struct buf *b, const struct s3_signing *s,
		       const struct added *a, bool names, struct err *e)
{
	struct header last = { "", 0, "" };
	size_t i = 0;
	size_t k = 0;

	while (i < a->n || k < s->n_headers) {
		struct header h = { 0 };
		const bool given = k < s->n_headers;

		if (given)
			h = split(s->headers[k]);
		if (given && (i == a->n || compare_names(&h, &a->v[i]) < 0))
			k++;
		else
			h = a->v[i++];
		assert(compare_names(&last, &h) < 0);
		if (add_canonical(b, &h, names, e) < 0)
			return -1;
		last = h;
	}
	return 0;
}

/* --- Signatures -------------------------------------------------------- */

/* "20130524T000000Z" */
struct stamp {
	char text[17];
};

static int stamp_of(struct instant t, struct stamp *ret, struct err *e)
{
	char text[INSTANT_TEXT];
	size_t n = 0;

	t.nsec = 0;
	instant_format(t, text);
	if (strlen(text) != sizeof("2013-05-24T00:00:00Z") - 1)
		return err_set(e, ERR_USAGE,
			       "the time %s is none that requests have", text);
	for (const char *c = text; *c; c++)
		if (*c != '-' && *c != ':')
			ret->text[n++] = *c;
	ret->text[n] = '\0';
	return 0;
}

/* Amazon's "canonical request", as the hash that is signed. */
static int hash_request(const struct s3_signing *s, const struct added *a,
			char out[S3_SHA256_TEXT], struct err *e)
{
	CLEANUP(buf_wipe) struct buf b;

	buf_init(&b, CANONICAL_MAX);
	if (buf_addf(&b, e, "%s\n%s\n%s\n", s->method, s->path, s->query) < 0 ||
	    add_headers(&b, s, a, false, e) < 0 ||
	    buf_add_byte(&b, '\n', e) < 0 ||
	    add_headers(&b, s, a, true, e) < 0 ||
	    buf_addf(&b, e, "\n%s", s->body_sha256) < 0)
		return -1;
	return s3_sha256(b.data, b.len, out, e);
}

/* The day's key for this region and service, then the signature with it. */
static int sign_text(const struct s3_signing *s, const char *secret,
		     const char *day, const char *text, uint8_t out[HASH],
		     struct err *e)
{
	char first[4 + sizeof(((struct s3_keys *)NULL)->secret)];
	uint8_t key[HASH];
	uint8_t next[HASH];
	const int n = snprintf(first, sizeof(first), "AWS4%s", secret);
	int r = -1;

	assert(n > 0 && (size_t)n < sizeof(first));
	if (hmac(first, (size_t)n, day, key, e) == 0 &&
	    hmac(key, HASH, s->region, next, e) == 0 &&
	    hmac(next, HASH, s->service, key, e) == 0 &&
	    hmac(key, HASH, "aws4_request", next, e) == 0)
		r = hmac(next, HASH, text, out, e);
	explicit_bzero(first, sizeof(first));
	explicit_bzero(key, sizeof(key));
	explicit_bzero(next, sizeof(next));
	return r;
}

static int add_authorization(const struct s3_signing *s,
			     const struct s3_keys *keys, const struct added *a,
			     const struct stamp *now, struct buf *lines,
			     struct err *e)
{
	CLEANUP(buf_done) struct buf text;
	char hash[S3_SHA256_TEXT];
	char digits[S3_SHA256_TEXT];
	uint8_t signature[HASH];
	char day[9];

	buf_init(&text, CANONICAL_MAX);
	memcpy(day, now->text, 8);
	day[8] = '\0';
	if (hash_request(s, a, hash, e) < 0 ||
	    buf_addf(&text, e,
		     "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s",
		     now->text, day, s->region, s->service, hash) < 0 ||
	    sign_text(s, keys->secret, day, buf_str(&text), signature, e) < 0)
		return -1;
	text_hex(signature, sizeof(signature), digits);
	buf_clear(&text);
	if (add_headers(&text, s, a, true, e) < 0)
		return -1;
	return buf_addf(lines, e,
			"authorization: AWS4-HMAC-SHA256 "
			"Credential=%s/%s/%s/%s/aws4_request, "
			"SignedHeaders=%s, Signature=%s%c",
			keys->id, day, s->region, s->service, buf_str(&text),
			digits, '\0');
}

static int add_lines(const struct added *a, struct buf *lines, struct err *e)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct header *h = &a->v[i];

		if (strcmp(h->name, "host") == 0)
			continue;
		/* Not formatted: that would leave the token on the stack. */
		if (buf_add_str(lines, h->name, e) < 0 ||
		    buf_add_str(lines, ": ", e) < 0 ||
		    buf_add(lines, h->value, strlen(h->value) + 1, e) < 0)
			return -1;
	}
	return 0;
}

int s3_sign(const struct s3_signing *s, const struct s3_keys *keys,
	    struct buf *lines, struct err *e)
{
	struct added a = { .n = 0 };
	struct stamp now;
	const size_t before = lines->len;

	if (stamp_of(s->now, &now, e) < 0)
		return -1;
	add_header(&a, "host", s->host);
	if (strcmp(s->service, "s3") == 0)
		add_header(&a, "x-amz-content-sha256", s->body_sha256);
	add_header(&a, "x-amz-date", now.text);
	if (keys->token[0])
		add_header(&a, "x-amz-security-token", keys->token);
	if (add_lines(&a, lines, e) == 0 &&
	    add_authorization(s, keys, &a, &now, lines, e) == 0)
		return 0;
	if (lines->data) {
		secret_wipe(lines->data + before, lines->len - before);
		lines->len = before;
	}
	return -1;
}
