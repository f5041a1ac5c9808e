/*
 * The location of a bucket, and after the first line ends: an endpoint, a
 * region and a profile of the environment, a line each.  What was understood is
 * written as a URL again, which must mean the same, and a request's path is
 * decoded by other code.
 */
#include "storage/stores/s3_place.h"

#include <stdbool.h>

#include "storage/stores/s3_sign.h"
#include "tests/support/fuzz.h"

static const char *const plain = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

static void check_names(const struct s3_place *p)
{
	const size_t n = strlen(p->prefix);
	char framed[sizeof(p->prefix) + 1];

	FUZZ_PROMISE(strlen(p->bucket) >= 3);
	FUZZ_PROMISE(strspn(p->bucket, plain) == strlen(p->bucket));
	FUZZ_PROMISE(!strstr(p->bucket, "..") && p->bucket[0] != '.');
	(void)snprintf(framed, sizeof(framed), "/%s", p->prefix);
	FUZZ_PROMISE(n == 0 || p->prefix[n - 1] == '/');
	FUZZ_PROMISE(!strstr(framed, "//") && !strstr(framed, "/./") &&
		     !strstr(framed, "/../"));
	for (size_t i = 0; i < n; i++)
		FUZZ_PROMISE((unsigned char)p->prefix[i] >= 0x20 &&
			     p->prefix[i] != 0x7f);
}

static void check_host(const struct s3_place *p)
{
	char host[64 + 1 + 256 + 8];
	const size_t n = strlen(p->host);

	s3_place_host(p, host);
	FUZZ_PROMISE(n > 0 && strlen(host) >= n);
	FUZZ_PROMISE(strcmp(host + strlen(host) - n, p->host) == 0);
	FUZZ_PROMISE((strlen(host) == n) == p->path_style);
	FUZZ_PROMISE(strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_."
				  ":[]") == strlen(host));
	/* What a wildcard's one label cannot be. */
	FUZZ_PROMISE(!p->tls || p->path_style || !strchr(p->bucket, '.'));
}

/* The path of a request, decoded with sscanf(). */
static void check_path(const struct s3_place *p)
{
	CLEANUP(buf_done) struct buf path;
	char want[64 + 512 + 32];
	const char *at = want;
	struct err e;

	buf_init(&path, 1 << 16);
	FUZZ_PROMISE(s3_place_path(p, "data/a_b", &path, &e) == 0);
	(void)snprintf(want, sizeof(want), "/%s%s%sdata/a_b",
		       p->path_style ? p->bucket : "", p->path_style ? "/" : "",
		       p->prefix);
	for (const char *c = buf_str(&path); *c; c++, at++) {
		unsigned int byte = (unsigned char)*c;

		FUZZ_PROMISE(*c == '%' || *c == '/' || strchr(plain, *c));
		if (*c == '%') {
			FUZZ_PROMISE(sscanf(c + 1, "%2X", &byte) == 1);
			c += 2;
		}
		FUZZ_PROMISE((unsigned char)*at == byte);
	}
	FUZZ_PROMISE(!*at);
}

static void add(struct buf *url, const char *name, const char *value)
{
	struct err e;

	if (!value[0])
		return;
	FUZZ_PROMISE(buf_addf(url, &e, "&%s=", name) == 0);
	FUZZ_PROMISE(s3_encode(value, false, url, &e) == 0);
}

static void check_same(const struct s3_place *a, const struct s3_place *b)
{
	FUZZ_PROMISE(a->tls == b->tls && a->path_style == b->path_style &&
		     a->eventual == b->eventual);
	FUZZ_PROMISE(strcmp(a->bucket, b->bucket) == 0);
	FUZZ_PROMISE(strcmp(a->prefix, b->prefix) == 0);
	FUZZ_PROMISE(strcmp(a->host, b->host) == 0);
	FUZZ_PROMISE(strcmp(a->region, b->region) == 0);
	FUZZ_PROMISE(strcmp(a->profile, b->profile) == 0);
	FUZZ_PROMISE(strcmp(a->credentials, b->credentials) == 0);
	FUZZ_PROMISE(strcmp(a->ca, b->ca) == 0);
	FUZZ_PROMISE(strcmp(a->class, b->class) == 0);
	FUZZ_PROMISE(strcmp(a->sse, b->sse) == 0);
	FUZZ_PROMISE(strcmp(a->sse_key, b->sse_key) == 0);
}

static void check_again(const struct s3_place *p)
{
	static const struct s3_defaults nothing;
	CLEANUP(buf_done) struct buf url;
	char endpoint[512];
	struct s3_place again;
	struct err e;

	buf_init(&url, 1 << 16);
	FUZZ_PROMISE(buf_addf(&url, &e, "s3://%s/", p->bucket) == 0);
	FUZZ_PROMISE(s3_encode(p->prefix, true, &url, &e) == 0);
	FUZZ_PROMISE(buf_addf(&url, &e, "?style=%s",
			      p->path_style ? "path" : "virtual") == 0);
	(void)snprintf(endpoint, sizeof(endpoint), "http%s://%s",
		       p->tls ? "s" : "", p->host);
	add(&url, "endpoint", endpoint);
	add(&url, "region", p->region);
	add(&url, "profile", p->profile);
	add(&url, "credentials", p->credentials);
	add(&url, "ca", p->ca);
	add(&url, "class", p->class);
	add(&url, "sse", p->sse);
	add(&url, "sse-key", p->sse_key);
	add(&url, "list", p->eventual ? "eventual" : "");
	FUZZ_PROMISE(s3_place_parse(buf_str(&url), &nothing, &again, &e) == 0);
	check_same(p, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	char *rest = text;
	const char *url = strsep(&rest, "\n");
	const struct s3_defaults d = {
		.endpoint = strsep(&rest, "\n"),
		.region = strsep(&rest, "\n"),
		.profile = strsep(&rest, "\n"),
	};
	struct s3_place p;
	struct s3_place untouched;
	struct err e;

	memset(&p, 0xa5, sizeof(p));
	memcpy(&untouched, &p, sizeof(p));
	if (s3_place_parse(url, &d, &p, &e) < 0) {
		FUZZ_PROMISE(e.code == ERR_USAGE);
		FUZZ_PROMISE(memcmp(&p, &untouched, sizeof(p)) == 0);
	} else {
		check_names(&p);
		check_host(&p);
		check_path(&p);
		check_again(&p);
	}
	free(text);
	return 0;
}
