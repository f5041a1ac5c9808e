/* Names of what is secret, and of what is only about it. */
#include "service/mask_internal.h"

/* A name without what stands between its words, in lower case. */
#define NAME_MAX_LEN 128

/* Anywhere in a name, its words run together. */
static const char *const within[] = {
	"password",	 "passwd",     "passphrase",
	"passcode",	 "passwort",   "secret",
	"token",	 "credential", "apikey",
	"accesskey",	 "privatekey", "presharedkey",
	"sharedkey",	 "encryptkey", "encryptionkey",
	"signingkey",	 "authkey",    "masterkey",
	"accountkey",	 "storagekey", "sessionkey",
	"licensekey",	 "hmackey",    "wepkey",
	"requirepass",	 "masterauth", "connectionstring",
	"authorization", "authtok",    "clientkey",
	"keydata",	 "passkey",    "privkey",
};

/* The last word of one. */
static const char *const last[] = {
	"pass", "pwd",	  "pw",	    "psk",	 "pin",		"jwt",
	"salt", "cookie", "bearer", "community", "rocommunity", "rwcommunity",
};

/* The whole name. */
static const char *const whole[] = { "auth", "psk", "pass" };

/* The end of a name whose words were run together when it was written. */
static const char *const ends[] = {
	"pass", "passw",  "pwd",      "pw",
	"psk",	"sslkey", "noncekey", "loggedinkey",
};

/* The last word of what is about a secret. */
static const char *const about[] = {
	"age",	    "agent",	"alg",	      "algo",		"algorithm",
	"allowed",  "attempts", "audience",   "authentication", "backend",
	"change",   "cmd",	"command",    "complexity",	"count",
	"days",	    "dir",	"directory",  "disable",	"disabled",
	"enable",   "enabled",	"encryption", "endpoint",	"expiration",
	"expire",   "expires",	"expiry",     "file",		"folder",
	"format",   "hashing",	"header",     "helper",		"hint",
	"history",  "hours",	"interval",   "issuer",		"label",
	"len",	    "length",	"lifetime",   "limit",		"location",
	"manager",  "max",	"maxlen",     "method",		"min",
	"minlen",   "minutes",	"mode",	      "name",		"names",
	"path",	    "period",	"policy",     "program",	"prompt",
	"provider", "quality",	"ref",	      "refs",		"reqd",
	"required", "reset",	"retries",    "rotation",	"seconds",
	"selector", "service",	"size",	      "store",		"strength",
	"timeout",  "tries",	"ttl",	      "type",		"uri",
	"url",	    "validity", "version",
};

/* Names that read like those of secrets, run together. */
static const char *const others[] = {
	"proxypass",	"fastcgipass",	 "uwsgipass",	 "scgipass",
	"grpcpass",	"memcachedpass", "servertokens", "maxtokens",
	"tcpsyncookie", "bypass",	 "compass",	 "trespass",
	"surpass",	"overpass",	 "underpass",
};

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static bool is_in(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

/* Whether a word ends with one of the list. */
static bool ends_in(const char *const *list, size_t n, const char *word,
		    size_t len)
{
	for (size_t i = 0; i < n; i++) {
		const size_t k = strlen(list[i]);

		if (len >= k && strcmp(word + len - k, list[i]) == 0)
			return true;
	}
	return false;
}

struct name {
	char all[NAME_MAX_LEN + 1]; /* its words, run together */
	size_t n;
	size_t word; /* where the last one begins */
};

/* "dbPassword_2" is "dbpassword", whose last word is "password". */
static void take_apart(const char *s, size_t n, struct name *ret)
{
	char before = '_';

	*ret = (struct name){ .n = 0 };
	/* A long one says what it is at its end. */
	if (n > NAME_MAX_LEN) {
		s += n - NAME_MAX_LEN;
		n = NAME_MAX_LEN;
	}
	while (n > 0 && (!mask_is_alnum(s[n - 1]) ||
			 (s[n - 1] >= '0' && s[n - 1] <= '9')))
		n--;
	for (size_t i = 0; i < n; before = s[i++]) {
		const bool upper = s[i] >= 'A' && s[i] <= 'Z';

		if (!mask_is_alnum(s[i]))
			continue;
		if (!mask_is_alnum(before) ||
		    (upper && before >= 'a' && before <= 'z'))
			ret->word = ret->n;
		ret->all[ret->n++] = mask_lower(s[i]);
	}
}

bool mask_name_is_secret(const char *name, size_t n)
{
	struct name x;

	take_apart(name, n, &x);
	if (is_in(about, COUNT(about), x.all + x.word) ||
	    is_in(others, COUNT(others), x.all) ||
	    is_in(others, COUNT(others), x.all + x.word))
		return false;
	for (size_t i = 0; i < COUNT(within); i++)
		if (strstr(x.all, within[i]))
			return true;
	return is_in(last, COUNT(last), x.all + x.word) ||
	       ends_in(ends, COUNT(ends), x.all, x.n) ||
	       is_in(whole, COUNT(whole), x.all);
}

/* Values that tell nothing, whatever they belong to. */
static const char *const nothing[] = {
	"yes",
	"no",
	"true",
	"false",
	"on",
	"off",
	"null",
	"none",
	"nil",
	"enabled",
	"disabled",
	"prohibit-password",
	"without-password",
};

/* What follows "password" in pam.d, before a module. */
static const char *const controls[] = {
	"required",   "requisite", "optional",
	"sufficient", "include",   "substack",
};

/* What follows "passwd:" in nsswitch.conf. */
static const char *const services[] = {
	"files", "compat", "systemd", "sss", "nis", "db", "ldap", "winbind",
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The word at s, in lower case, as far as it has room; its length. */
static size_t take_word(char word[24], const char *s, size_t n)
{
	size_t k = 0;

	while (k < n && k + 1 < 24 && (mask_is_alnum(s[k]) || s[k] == '-')) {
		word[k] = mask_lower(s[k]);
		k++;
	}
	word[k] = '\0';
	return k;
}

/* Nothing but what closes, and a comment behind a blank. */
static bool is_over(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && (is_space(s[i]) || strchr(",;}])\"'", s[i])))
		i++;
	return i == n || (s[i] == '#' && i > 0 && is_space(s[i - 1]));
}

/* files systemd [NOTFOUND=return] */
static bool are_services(const char *s, size_t n)
{
	char word[24];

	for (size_t i = 0; i < n && s[i] != '#';) {
		const size_t k = take_word(word, s + i, n - i);

		if (k > 0 && !is_in(services, COUNT(services), word))
			return false;
		if (k == 0 && !is_space(s[i]))
			return mask_begins(s + i, n - i, "[notfound=");
		i += k > 0 ? k : 1;
	}
	return true;
}

/* As far as is looked for a module on a line, which may have many names. */
#define NEAR 256

/* requisite pam_pwquality.so; [success=1 default=ignore] pam_unix.so */
static bool is_pam(const char *word, const char *s, size_t n)
{
	size_t i = 0;

	if (n > NEAR)
		n = NEAR;
	if (s[0] == '[') {
		while (i < n && s[i] != ']')
			i++;
		i += i < n;
	} else if (is_in(controls, COUNT(controls), word)) {
		i = strlen(word);
	}
	if (i == 0 || i == n || !is_space(s[i]))
		return i > 0 && i == n && s[0] != '[';
	while (i < n && is_space(s[i]))
		i++;
	return mask_begins(s + i, n - i, "pam_") ||
	       mask_begins(s + i, n - i, "common-") ||
	       mask_begins(s + i, n - i, "system-auth") ||
	       mask_begins(s + i, n - i, "password-auth") ||
	       memmem(s + i, n - i, "/pam_", 5) != NULL;
}

bool mask_name_is_harmless(const char *name, size_t name_len, const char *value,
			   size_t n)
{
	char word[24];
	const size_t k = take_word(word, value, n);

	if (n == 0 || is_pam(word, value, n))
		return true;
	if (k == 0)
		return false;
	if (is_in(nothing, COUNT(nothing), word))
		return is_over(value + k, n - k);
	return name_len == 6 && mask_begins(name, 6, "passwd") &&
	       is_in(services, COUNT(services), word) && are_services(value, n);
}
