/* Secrets that are known by their shape, wherever they stand. */
#include "service/mask_internal.h"

/* How far anything is looked for within a line, so that none costs more than a
 * few hundred steps a byte. */
#define FAR	    512
#define LONG_HEX    32
#define LONG_BASE64 32
/* With "-" and "_", which words in names have as well. */
#define LONG_URL 40

static bool in_token(char c)
{
	return mask_is_alnum(c) || c == '_' || c == '-';
}

static bool in_dotted(char c)
{
	return in_token(c) || c == '.' || c == '=' || c == '~' || c == '+' ||
	       c == '/';
}

static bool in_crypt(char c)
{
	return in_dotted(c) || c == '$' || c == ',' || c == ':';
}

/* A hash ends where the field of its line does. */
static bool in_hash(char c)
{
	return c != ':' && in_crypt(c);
}

static bool in_upper(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Its beginning, how many bytes come after it at least, and which. */
static const struct token {
	const char *begins;
	size_t least;
	bool (*holds)(char c);
} tokens[] = {
	{ "AKIA", 12, in_upper }, /* Amazon */
	{ "ASIA", 12, in_upper },
	{ "ABIA", 12, in_upper },
	{ "ACCA", 12, in_upper },
	{ "AGPA", 12, in_upper },
	{ "AIDA", 12, in_upper },
	{ "AIPA", 12, in_upper },
	{ "ANPA", 12, in_upper },
	{ "AROA", 12, in_upper },
	{ "ghp_", 16, in_token }, /* GitHub */
	{ "gho_", 16, in_token },
	{ "ghu_", 16, in_token },
	{ "ghs_", 16, in_token },
	{ "ghr_", 16, in_token },
	{ "github_pat_", 16, in_token },
	{ "glpat-", 12, in_dotted }, /* GitLab */
	{ "gldt-", 12, in_dotted },
	{ "glrt-", 12, in_dotted },
	{ "glcbt-", 12, in_dotted },
	{ "glptt-", 12, in_dotted },
	{ "glsoat-", 12, in_dotted },
	{ "glagent-", 12, in_dotted },
	{ "xoxb-", 8, in_token }, /* Slack */
	{ "xoxa-", 8, in_token },
	{ "xoxe-", 8, in_token },
	{ "xoxe.", 8, in_dotted },
	{ "xoxo-", 8, in_token },
	{ "xoxp-", 8, in_token },
	{ "xoxr-", 8, in_token },
	{ "xoxs-", 8, in_token },
	{ "xapp-", 8, in_token },
	{ "sk_live_", 8, in_token }, /* Stripe */
	{ "rk_live_", 8, in_token },
	{ "sk_test_", 8, in_token },
	{ "whsec_", 8, in_dotted },
	{ "sk-", 20, in_token },
	{ "AIza", 30, in_token }, /* Google */
	{ "ya29.", 16, in_dotted },
	{ "GOCSPX-", 8, in_token },
	{ "SG.", 16, in_dotted },  /* SendGrid */
	{ "hvs.", 12, in_dotted }, /* Vault */
	{ "hvb.", 12, in_dotted },
	{ "npm_", 16, in_token },
	{ "pypi-", 16, in_token },
	{ "dckr_pat_", 8, in_token },
	{ "dop_v1_", 16, in_token },
	{ "tskey-", 8, in_token },
	{ "AGE-SECRET-KEY-", 8, in_token },
	{ "hooks.slack.com/services/", 4, in_dotted }, /* who has it may post */
	{ "discord.com/api/webhooks/", 4, in_dotted },
	{ "discordapp.com/api/webhooks/", 4, in_dotted },
	{ "api.telegram.org/bot", 4, in_crypt },
	{ "LS0tLS1CRUdJTi", 16, in_dotted }, /* a PEM block in base64 */
	{ "eyJ", 16, in_dotted },	     /* a JSON web token */
	{ "$1$", 4, in_hash },		     /* crypt(5) */
	{ "$2a$", 4, in_hash },
	{ "$2b$", 4, in_hash },
	{ "$2x$", 4, in_hash },
	{ "$2y$", 4, in_hash },
	{ "$3$", 4, in_hash },
	{ "$5$", 4, in_hash },
	{ "$6$", 4, in_hash },
	{ "$7$", 4, in_hash },
	{ "$y$", 4, in_hash },
	{ "$gy$", 4, in_hash },
	{ "$md5", 4, in_hash },
	{ "$sha1$", 4, in_hash },
	{ "$apr1$", 4, in_hash },
	{ "$argon2", 4, in_hash },
	{ "$scrypt$", 4, in_hash },
	{ "$pbkdf2", 4, in_hash },
	{ "{SSHA", 4, in_crypt }, /* LDAP; the brace that closes is no end */
	{ "{SHA", 4, in_crypt },
	{ "{SMD5", 4, in_crypt },
	{ "{CRYPT", 4, in_crypt },
	{ "SCRAM-SHA-", 8, in_crypt }, /* PostgreSQL */
};

static bool is_word(char c)
{
	return c != ' ' && c != '\t' && c != '"' && c != '\'' && c != '<' &&
	       c != '>' && c != '\r';
}

/* From a token's beginning on: where it ends, or 0. */
static size_t token_end(const struct mask_line *l, const struct token *t,
			size_t at)
{
	const size_t n = strlen(t->begins);
	const bool brace = t->begins[0] == '{';
	size_t end = at + n;

	if (l->n - at < n || memcmp(l->s + at, t->begins, n) != 0)
		return 0;
	while (end < l->n &&
	       (t->holds(l->s[end]) || (brace && l->s[end] == '}')))
		end++;
	return end - at - n >= t->least ? end : 0;
}

static void hide_tokens(struct mask_line *l)
{
	for (size_t at = 0; at < l->n; at++) {
		if (at > 0 && mask_is_alnum(l->s[at]) &&
		    mask_is_alnum(l->s[at - 1]))
			continue;
		for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
			const size_t end = token_end(l, &tokens[i], at);

			if (!end)
				continue;
			mask_line_hide(l, at, end);
			at = end - 1;
			break;
		}
	}
}

/* user:PASSWORD@, and a name that is none, from behind "://" on. */
static void hide_url(struct mask_line *l, size_t from)
{
	const size_t far = l->n - from < FAR ? l->n : from + FAR;
	size_t colon = 0;
	size_t slash = 0;
	size_t at = 0;

	/* A password may hold a slash that should have been escaped. */
	for (size_t i = from; i < far && is_word(l->s[i]); i++) {
		if (l->s[i] == ':' && !colon && !slash)
			colon = i;
		if (l->s[i] == '@' && (colon || !slash))
			at = i;
		if (l->s[i] == '/')
			slash = i;
	}
	if (at && colon && colon < at)
		mask_line_hide(l, colon + 1, at);
	else if (at && at - from >= 16)
		mask_line_hide(l, from, at);
}

static void hide_urls(struct mask_line *l)
{
	for (size_t i = 0; i + 3 < l->n; i++)
		if (memcmp(l->s + i, "://", 3) == 0)
			hide_url(l, i + 3);
}

/* "Bearer TOKEN": where TOKEN may be anything that is long enough. */
static void hide_scheme(struct mask_line *l, const char *scheme, bool sure)
{
	const size_t n = strlen(scheme);

	for (size_t i = 0; i + n < l->n; i++) {
		size_t from = i + n;
		size_t end;

		if (!mask_begins(l->s + i, l->n - i, scheme) ||
		    (i > 0 && mask_is_alnum(l->s[i - 1])) ||
		    (l->s[from] != ' ' && l->s[from] != '\t'))
			continue;
		while (from < l->n && (l->s[from] == ' ' || l->s[from] == '\t'))
			from++;
		for (end = from; end < l->n && in_dotted(l->s[end]);)
			end++;
		if (end - from >= 8 || (sure && end > from))
			mask_line_hide(l, from, end);
		i = end - 1;
	}
}

static size_t find(const struct mask_line *l, size_t from, const char *what)
{
	for (size_t i = from; i < l->n; i++)
		if (mask_begins(l->s + i, l->n - i, what))
			return i;
	return l->n;
}

/* A header without a colon: proxy_set_header Authorization "Basic …". */
static void hide_authorization(struct mask_line *l)
{
	const size_t at = find(l, 0, "authorization");
	const bool sure = at < l->n;

	hide_scheme(l, "bearer", sure);
	hide_scheme(l, "basic", sure);
	if (sure) {
		hide_scheme(l, "token", sure);
		hide_scheme(l, "digest", sure);
		hide_scheme(l, "negotiate", sure);
	}
}

/* user:PASSWORD@tcp(host:3306)/db, of drivers written in Go. */
static void hide_dsn(struct mask_line *l)
{
	static const char *const nets[] = { "@tcp", "@unix", "@(" };
	size_t colon = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!is_word(l->s[i]))
			colon = 0;
		else if (l->s[i] == ':' && !colon)
			colon = i;
		if (l->s[i] != '@' || !colon)
			continue;
		for (size_t k = 0; k < sizeof(nets) / sizeof(*nets); k++)
			if (mask_begins(l->s + i, l->n - i, nets[k]))
				mask_line_hide(l, colon + 1, i);
	}
}

/* ---- Options of known commands ------------------------------------------ */

/* One whose option `letter` is a secret, alone or after others of a letter:
 * "-pX", "-sp X". */
static const struct command {
	const char *name;
	char letter;
	bool apart; /* "-p X" as well */
	bool user;  /* X is user:PASSWORD */
} commands[] = {
	{ "mysql", 'p', false, false },	   { "mariadb", 'p', false, false },
	{ "sshpass", 'p', true, false },   { "curl", 'u', true, true },
	{ "curl", 'U', true, true },	   { "ldap", 'w', true, false },
	{ "redis-cli", 'a', true, false },
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The argument at `from`, to its quote or the next blank; where it ends. */
static size_t argument_end(const struct mask_line *l, size_t from)
{
	char quote = '\0';
	size_t i = from;

	for (; i < l->n && (quote || !is_space(l->s[i])); i++) {
		if (quote && l->s[i] == quote)
			quote = '\0';
		else if (!quote && (l->s[i] == '"' || l->s[i] == '\''))
			quote = l->s[i];
	}
	return i;
}

/* Behind the letter of an option at `at`, or 0. */
static size_t option_value(const struct mask_line *l, size_t at, char letter)
{
	size_t i = at + 1;

	if (l->s[at] != '-' || at == 0 || !is_space(l->s[at - 1]))
		return 0;
	while (i < l->n && mask_is_alnum(l->s[i]) && l->s[i] != letter)
		i++;
	if (letter == 'u' && mask_begins(l->s + at, l->n - at, "--user"))
		return at + 6;
	return i < l->n && l->s[i] == letter ? i + 1 : 0;
}

static size_t hide_argument(struct mask_line *l, const struct command *c,
			    size_t from)
{
	const char *colon;
	size_t end;

	while (c->apart && from < l->n && is_space(l->s[from]))
		from++;
	end = argument_end(l, from);
	colon = c->user ? memchr(l->s + from, ':', end - from) : NULL;
	if (!c->user)
		mask_line_hide(l, from, end);
	else if (colon)
		mask_line_hide(l, (size_t)(colon + 1 - l->s), end);
	return end;
}

static void hide_options(struct mask_line *l, const struct command *c)
{
	size_t at = find(l, 0, c->name);

	while (at < l->n) {
		const size_t from = option_value(l, at, c->letter);

		at = from ? hide_argument(l, c, from) : at + 1;
	}
}

static void hide_commands(struct mask_line *l)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		hide_options(l, &commands[i]);
}

/* ---- Lines of known files ----------------------------------------------- */

/* Field i of a line with colons between: false when it has none. */
static bool field(const struct mask_line *l, unsigned int i, size_t *from,
		  size_t *to)
{
	*from = 0;
	for (;; i--) {
		const char *end = memchr(l->s + *from, ':', l->n - *from);

		*to = end ? (size_t)(end - l->s) : l->n;
		if (i == 0)
			return true;
		if (!end)
			return false;
		*from = *to + 1;
	}
}

static bool is_number(const struct mask_line *l, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (l->s[i] < '0' || l->s[i] > '9')
			return false;
	return true;
}

/* name:HASH:19000:0:99999:7:::, also where the hash is an old one of DES. */
static bool hide_shadow(struct mask_line *l)
{
	size_t from;
	size_t to;
	size_t a;
	size_t b;

	if (!field(l, 7, &from, &to))
		return false;
	for (unsigned int i = 2; i < 6; i++)
		if (!field(l, i, &a, &b) || !is_number(l, a, b))
			return false;
	if (field(l, 1, &from, &to) && to - from > 2)
		mask_line_hide(l, from, to);
	return true;
}

/* host:port:database:user:PASSWORD */
static void hide_pgpass(struct mask_line *l)
{
	size_t from;
	size_t to;

	if (!field(l, 4, &from, &to) || memchr(l->s, ' ', from) ||
	    memchr(l->s, '\t', from))
		return;
	if (!field(l, 1, &from, &to) || to == from ||
	    !(is_number(l, from, to) || (to - from == 1 && l->s[from] == '*')))
		return;
	if (field(l, 4, &from, &to))
		mask_line_hide(l, from, l->n);
}

void mask_token_hide(struct mask_line *l)
{
	hide_tokens(l);
	hide_urls(l);
	hide_dsn(l);
	hide_commands(l);
	hide_authorization(l);
	if (!hide_shadow(l))
		hide_pgpass(l);
}

/* ---- Key material ------------------------------------------------------- */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') ||
	       (mask_lower(c) >= 'a' && mask_lower(c) <= 'f');
}

struct digits {
	size_t n, digits, upper, lower, hex, url;
};

static void count(struct digits *d, char c)
{
	d->n++;
	d->digits += c >= '0' && c <= '9';
	d->upper += c >= 'A' && c <= 'Z';
	d->lower += c >= 'a' && c <= 'z';
	d->hex += is_hex(c) || c == '=';
	d->url += c == '-' || c == '_';
}

size_t mask_token_long(const char *s, size_t n)
{
	struct digits d = { 0 };

	while (d.n < n && (in_token(s[d.n]) || s[d.n] == '+' || s[d.n] == '/'))
		count(&d, s[d.n]);
	/* What fills it up is at its end, or it is an assignment. */
	while (d.n < n && s[d.n] == '=')
		count(&d, s[d.n]);
	if (d.n < n && in_token(s[d.n]))
		return 0;
	if (d.hex == d.n)
		return d.n >= LONG_HEX && d.digits && d.digits < d.n ? d.n : 0;
	/* The longer, the less it takes to tell them from words. */
	if (!d.upper || !d.lower || (!d.digits && (d.url || d.n < LONG_URL)))
		return 0;
	return d.n >= (d.url ? LONG_URL : LONG_BASE64) ? d.n : 0;
}
