#include "service/help.h"

#include <string.h>

/* Where the second column of a list begins, and where lines end. */
enum { INDENT = 26, COLUMNS = 79 };

const struct operation_param help_general[] = {
	{ .name = "json",
	  .kind = PARAM_SWITCH,
	  .help = "print one JSON value, also for a failure" },
	{ .name = "quiet",
	  .kind = PARAM_SWITCH,
	  .letter = 'q',
	  .help = "no progress and no notes on standard error" },
	{ .name = "socket",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .env = "SNAPCTL_SOCKET",
	  .value = "FILE",
	  .help = "the socket of the daemon" },
	{ .name = "config",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "FILE",
	  .help = "the instance's settings" },
	{ .name = "help",
	  .kind = PARAM_SWITCH,
	  .letter = 'h',
	  .help = "print help for the command and do nothing" },
	{ 0 }
};

int help_param(const struct operation_param *p, struct buf *out, struct err *e)
{
	const char *value = p->value ? p->value : "VALUE";

	if (p->kind == PARAM_POSITIONAL)
		return buf_addf(out, e, "%s%s", value, p->repeated ? "…" : "");
	if (p->letter && buf_addf(out, e, "-%c, ", p->letter) < 0)
		return -1;
	if (p->kind == PARAM_SWITCH)
		return buf_addf(out, e, "--%s", p->name);
	return buf_addf(out, e, "--%s %s", p->name,
			p->choices && !p->value ? p->choices : value);
}

/* The columns of a text: its code points. */
static size_t width_of(const char *text, size_t n)
{
	size_t columns = 0;

	for (size_t i = 0; i < n; i++)
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	return columns;
}

/* Add words from column *at on, wrapped to lines that begin at indent. */
static int add_words(const char *text, size_t indent, size_t *at,
		     struct buf *out, struct err *e)
{
	while (*text) {
		const size_t n = strcspn(text, " \n");
		const size_t columns = width_of(text, n);

		if (*at > indent && *at + 1 + columns > COLUMNS) {
			if (buf_addf(out, e, "\n%*s", (int)indent, "") < 0)
				return -1;
			*at = indent;
		} else if (*at > indent) {
			if (buf_add_byte(out, ' ', e) < 0)
				return -1;
			++*at;
		}
		if (buf_add(out, text, n, e) < 0)
			return -1;
		*at += columns;
		text += n + strspn(text + n, " \n");
	}
	return 0;
}

/* One row of a two-column list. */
static int add_row(const char *left, const char *right, struct buf *out,
		   struct err *e)
{
	const size_t width = 2 + width_of(left, strlen(left));
	size_t at = INDENT;

	if (buf_addf(out, e, "  %s", left) < 0)
		return -1;
	if (width + 2 > INDENT) {
		if (buf_addf(out, e, "\n%*s", INDENT, "") < 0)
			return -1;
	} else if (buf_addf(out, e, "%*s", INDENT - (int)width, "") < 0) {
		return -1;
	}
	if (add_words(right, INDENT, &at, out, e) < 0)
		return -1;
	return buf_add_byte(out, '\n', e);
}

/* "a|b" as "a, b", which can be wrapped. */
static int add_choices(const char *choices, struct buf *out, struct err *e)
{
	for (; *choices; choices++)
		if ((*choices == '|'
			     ? buf_add_str(out, ", ", e)
			     : buf_add_byte(out, (uint8_t)*choices, e)) < 0)
			return -1;
	return 0;
}

/* "its meaning (default: 5; $SNAPCTL_REPO)" */
static int describe(const struct operation_param *p, struct buf *out,
		    struct err *e)
{
	const char *open = " (";

	if (buf_add_str(out, p->help, e) < 0)
		return -1;
	if (p->choices && p->value) {
		if (buf_add_str(out, open, e) < 0 ||
		    add_choices(p->choices, out, e) < 0)
			return -1;
		open = "; ";
	}
	if (p->fallback && *p->fallback) {
		if (buf_addf(out, e, "%sdefault: %s", open, p->fallback) < 0)
			return -1;
		open = "; ";
	}
	if (p->env) {
		if (buf_addf(out, e, "%s$%s", open, p->env) < 0)
			return -1;
		open = "; ";
	}
	if (p->repeated && p->kind == PARAM_OPTION) {
		if (buf_addf(out, e, "%smay be repeated", open) < 0)
			return -1;
		open = "; ";
	}
	return *open == ';' ? buf_add_byte(out, ')', e) : 0;
}

static int add_param(const struct operation_param *p, struct buf *out,
		     struct err *e)
{
	CLEANUP(buf_done) struct buf left;
	CLEANUP(buf_done) struct buf right;

	buf_init(&left, 200);
	buf_init(&right, 2000);
	if (help_param(p, &left, e) < 0 || describe(p, &right, e) < 0)
		return -1;
	return add_row(buf_str(&left), buf_str(&right), out, e);
}

static int add_usage_word(const struct operation_param *p, size_t indent,
			  size_t *at, struct buf *out, struct err *e)
{
	CLEANUP(buf_done) struct buf word;
	const bool optional = !p->required;
	struct operation_param plain = *p;
	size_t columns;

	/* A word never breaks at its space. */
	buf_init(&word, 400);
	plain.letter = 0;
	if ((optional && buf_add_byte(&word, '[', e) < 0) ||
	    help_param(&plain, &word, e) < 0 ||
	    (optional && buf_add_byte(&word, ']', e) < 0) ||
	    (p->repeated && p->kind == PARAM_OPTION &&
	     buf_add_str(&word, "…", e) < 0))
		return -1;
	columns = width_of(buf_str(&word), word.len);
	if (*at + 1 + columns > COLUMNS) {
		*at = indent + columns;
		return buf_addf(out, e, "\n%*s%s", (int)indent, "",
				buf_str(&word));
	}
	*at += 1 + columns;
	return buf_addf(out, e, " %s", buf_str(&word));
}

int help_usage(const struct operation *op, struct buf *out, struct err *e)
{
	const struct operation_param *p;
	const size_t indent = strlen("usage: snapctl ") + strlen(op->verb) + 1;
	size_t at = indent - 1;

	if (buf_addf(out, e, "usage: snapctl %s", op->verb) < 0)
		return -1;
	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->kind == PARAM_POSITIONAL &&
		    add_usage_word(p, indent, &at, out, e) < 0)
			return -1;
	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->kind != PARAM_POSITIONAL &&
		    add_usage_word(p, indent, &at, out, e) < 0)
			return -1;
	return buf_add_byte(out, '\n', e);
}

static int add_paragraphs(const char *text, struct buf *out, struct err *e)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		const size_t n = end ? (size_t)(end - text) : strlen(text);
		CLEANUP(buf_done) struct buf one;
		size_t at = 0;

		buf_init(&one, 100000);
		if (buf_add(&one, text, n, e) < 0 ||
		    buf_add_byte(out, '\n', e) < 0 ||
		    add_words(buf_str(&one), 0, &at, out, e) < 0 ||
		    buf_add_byte(out, '\n', e) < 0)
			return -1;
		text += n + strspn(text + n, "\n");
	}
	return 0;
}

static int add_general(struct buf *out, struct err *e)
{
	if (buf_add_str(out, "\nOptions of every command:\n", e) < 0)
		return -1;
	for (const struct operation_param *p = help_general; p->name; p++)
		if (add_param(p, out, e) < 0)
			return -1;
	return 0;
}

int help_operation(const struct operation *op, struct buf *out, struct err *e)
{
	const struct operation_param *p;

	if (help_usage(op, out, e) < 0 || add_paragraphs(op->summary, out, e))
		return -1;
	if (operation_param(op, 0) && buf_add_byte(out, '\n', e) < 0)
		return -1;
	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (add_param(p, out, e) < 0)
			return -1;
	if (op->help && add_paragraphs(op->help, out, e) < 0)
		return -1;
	return add_general(out, e);
}

/* Whether verb is word, or begins with it and a space. */
static bool begins(const char *verb, const char *word)
{
	const size_t n = strlen(word);

	return strncmp(verb, word, n) == 0 &&
	       (verb[n] == '\0' || verb[n] == ' ');
}

bool help_has(const char *word)
{
	const struct operation *op;

	for (size_t i = 0; (op = operation_nth(i)); i++)
		if (begins(op->verb, word))
			return true;
	return false;
}

/* An empty line between nouns. */
static int add_verbs(const char *word, struct buf *out, struct err *e)
{
	const struct operation *op;

	for (size_t i = 0; (op = operation_nth(i)); i++)
		if ((!word || begins(op->verb, word)) &&
		    add_row(op->verb, op->summary, out, e) < 0)
			return -1;
	return 0;
}

int help_overview(const char *word, struct buf *out, struct err *e)
{
	if (word ? buf_addf(out, e, "usage: snapctl %s COMMAND …\n\n", word) < 0
		 : buf_add_str(out,
			       "usage: snapctl COMMAND …\n\n"
			       "Backups you can prove: snapshots of files on a "
			       "timetable, copied to other\nregions, restored "
			       "for proof, and accounted for.\n\n",
			       e) < 0)
		return -1;
	if (add_verbs(word, out, e) < 0 || add_general(out, e) < 0)
		return -1;
	return buf_addf(out, e,
			"\n\"snapctl COMMAND --help\" says more about each.\n");
}
