/* argv to a request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "service/cli.h"
#include "service/help.h"

/* A manifest of more than this is a mistake. */
#define DOCUMENT_MAX ((size_t)16 << 20)

struct parse {
	struct cli_request *r;
	char *const *argv;
	int argc;
	int at;
	bool only_words;   /* "--" was seen */
	size_t positional; /* how many words the operation got so far */
};

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* The nth word that may follow the noun in arg (NULL: the first word). */
static const char *next_word(void *arg, size_t n)
{
	const char *noun = arg;
	const struct operation *op;

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		const size_t len = noun ? strlen(noun) : 0;

		if (noun &&
		    (strncmp(op->verb, noun, len) != 0 || op->verb[len] != ' '))
			continue;
		if (n-- == 0)
			return noun ? op->verb + len + 1 : op->verb;
	}
	return NULL;
}

/* The first words of all verbs, cut out into arg's array. */
struct nouns {
	char words[128][32];
};

static const char *next_noun(void *arg, size_t n)
{
	struct nouns *nouns = arg;
	const char *verb = next_word(NULL, n);

	if (!verb || n >= sizeof(nouns->words) / sizeof(nouns->words[0]))
		return NULL;
	(void)snprintf(nouns->words[n], sizeof(nouns->words[n]), "%.*s",
		       (int)strcspn(verb, " "), verb);
	return nouns->words[n];
}

/* "diff" is the end of "snapshot diff"; NULL when no verb ends so. */
static const char *verb_ending_in(const char *word)
{
	const struct operation *op;

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		const char *space = strchr(op->verb, ' ');

		if (space && same(space + 1, word))
			return op->verb;
	}
	return NULL;
}

static int unknown_noun(const char *word, struct err *e)
{
	struct nouns nouns;
	const char *near = verb_ending_in(word);

	if (!near)
		near = operation_nearest(word, next_noun, &nouns);
	(void)err_set(e, ERR_USAGE, "there is no command %s",
		      text_quote_str(word).s);
	if (near)
		return err_hint(e, "did you mean \"%s\"?", near);
	return err_hint(e, "\"snapctl --help\" lists the commands");
}

static int unknown_word(const char *noun, const char *word, struct err *e)
{
	char copy[64];
	const char *near;

	(void)snprintf(copy, sizeof(copy), "%s", noun);
	near = operation_nearest(word, next_word, copy);
	(void)err_set(e, ERR_USAGE, "there is no command \"%s %s\"", noun,
		      text_quote_str(word).s);
	if (near)
		return err_hint(e, "did you mean \"%s %s\"?", noun, near);
	return err_hint(e, "\"snapctl %s --help\" lists its commands", noun);
}

static int found_operation(struct parse *p, const struct operation *op,
			   struct err *e)
{
	p->r->operation = op;
	p->r->noun = NULL;
	return args_new(&p->r->args, op, e);
}

/* A word of the verb. */
static int take_verb(struct parse *p, const char *word, struct err *e)
{
	const struct operation *op;
	char verb[128];

	if (!p->r->noun) {
		op = operation_named(word);
		if (op)
			return found_operation(p, op, e);
		if (!help_has(word) || strchr(word, ' '))
			return unknown_noun(word, e);
		p->r->noun = word;
		return 0;
	}
	(void)snprintf(verb, sizeof(verb), "%s %s", p->r->noun, word);
	op = operation_named(verb);
	if (!op)
		return unknown_word(p->r->noun, word, e);
	return found_operation(p, op, e);
}

static const struct operation_param *nth_positional(const struct operation *op,
						    size_t n)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->kind == PARAM_POSITIONAL && n-- == 0)
			return p;
	return NULL;
}

/* A document is read here, with the caller's rights. */
static int add_value(struct parse *p, const struct operation_param *param,
		     const char *text, struct err *e)
{
	CLEANUP(buf_done) struct buf document;

	buf_init(&document,
		 param->document_max ? param->document_max : DOCUMENT_MAX);
	if (param->type != PARAM_DOCUMENT)
		return args_add_str(p->r->args, param->name, text, e);
	if (file_read_all(text, &document, e) < 0) {
		/* A wrong path is a wrong request, not a thing not found. */
		if (e->code == ERR_NOT_FOUND)
			e->code = ERR_USAGE;
		return -1;
	}
	return args_add_document(p->r->args, param->name,
				 same(text, "-") ? "standard input" : text,
				 buf_str(&document), document.len, e);
}

static int take_word(struct parse *p, const char *word, struct err *e)
{
	const struct operation_param *param;

	if (!p->r->operation)
		return take_verb(p, word, e);
	param = nth_positional(p->r->operation, p->positional);
	if (!param)
		return err_set(e, ERR_USAGE, "%s is one argument too many",
			       text_quote_str(word).s);
	if (!param->repeated)
		p->positional++;
	return add_value(p, param, word, e);
}

/* A parameter by what was typed: "name" of n bytes, or one letter. */
static const struct operation_param *
find_in(const struct operation_param *param, const char *name, size_t n,
	bool letter)
{
	if (letter)
		return param->letter == name[0] ? param : NULL;
	return strlen(param->name) == n && strncmp(param->name, name, n) == 0
		       ? param
		       : NULL;
}

static const struct operation_param *find_option(const struct parse *p,
						 const char *name, size_t n,
						 bool letter, bool *ret_general)
{
	const struct operation_param *param;

	*ret_general = false;
	for (size_t i = 0;
	     p->r->operation && (param = operation_param(p->r->operation, i));
	     i++)
		if (param->kind != PARAM_POSITIONAL &&
		    find_in(param, name, n, letter))
			return param;
	*ret_general = true;
	for (param = help_general; param->name; param++)
		if (find_in(param, name, n, letter))
			return param;
	return NULL;
}

/* The options of the operation, then the general ones. */
static const char *next_option(void *arg, size_t n)
{
	const struct parse *p = arg;
	const struct operation_param *param;

	for (size_t i = 0;
	     p->r->operation && (param = operation_param(p->r->operation, i));
	     i++)
		if (param->kind != PARAM_POSITIONAL && n-- == 0)
			return param->name;
	for (param = help_general; param->name; param++)
		if (n-- == 0)
			return param->name;
	return NULL;
}

static int unknown_option(struct parse *p, const char *typed, struct err *e)
{
	char name[64];
	const char *near;

	(void)snprintf(name, sizeof(name), "%.*s",
		       (int)strcspn(typed + 2 - (typed[1] != '-'), "="),
		       typed + 2 - (typed[1] != '-'));
	near = operation_nearest(name, next_option, p);
	(void)err_set(e, ERR_USAGE, "there is no option %s",
		      text_quote_str(typed).s);
	if (near)
		return err_hint(e, "did you mean \"--%s\"?", near);
	return p->r->operation ? err_hint(e, "\"snapctl %s --help\" lists them",
					  p->r->operation->verb)
			       : err_hint(e, "options of a command follow its "
					     "name");
}

static void set_general(struct cli_request *r, const char *name,
			const char *value)
{
	if (same(name, "json"))
		r->json = true;
	else if (same(name, "quiet"))
		r->quiet = true;
	else if (same(name, "help"))
		r->help = true;
	else if (same(name, "socket"))
		r->socket = value;
	else if (same(name, "config"))
		r->config = value;
}

static int take_option(struct parse *p, const char *typed, struct err *e)
{
	const bool letter = typed[1] != '-';
	const char *name = typed + (letter ? 1 : 2);
	const size_t n = letter ? 1 : strcspn(name, "=");
	const char *value = name[n] == '=' ? name + n + 1 : NULL;
	const struct operation_param *param;
	bool general;

	param = find_option(p, name, n, letter, &general);
	if (!param || (letter && name[1]))
		return unknown_option(p, typed, e);
	if (param->kind == PARAM_SWITCH && value)
		return err_set(e, ERR_USAGE, "--%s takes no value",
			       param->name);
	if (param->kind == PARAM_SWITCH)
		value = "true";
	if (!value && p->at + 1 < p->argc)
		value = p->argv[++p->at];
	if (!value)
		return err_set(e, ERR_USAGE, "--%s needs a value (%s)",
			       param->name,
			       param->value ? param->value : param->choices);
	if (!general)
		return add_value(p, param, value, e);
	set_general(p->r, param->name, value);
	return 0;
}

static int take(struct parse *p, const char *typed, struct err *e)
{
	if (p->only_words || typed[0] != '-' || typed[1] == '\0')
		return take_word(p, typed, e);
	if (same(typed, "--")) {
		p->only_words = true;
		return 0;
	}
	if (same(typed, "--version") && !p->r->operation && !p->r->noun)
		return take_verb(p, "version", e);
	return take_option(p, typed, e);
}

/* What a variable says holds when nothing was said on the command line. */
static int add_environment(struct cli_request *r, struct err *e)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(r->operation, i)); i++) {
		const char *value = p->env ? getenv(p->env) : NULL;

		if (!value || !*value || args_count(r->args, p->name))
			continue;
		if (args_add_default(r->args, p->name, value, e) < 0)
			return err_wrap(e, "$%s", p->env);
	}
	return 0;
}

int cli_parse(int argc, char *const *argv, struct cli_request *ret,
	      struct err *e)
{
	struct parse p = { .r = ret, .argv = argv, .argc = argc };
	int status = 0;

	*ret = (struct cli_request){ 0 };
	/* A failure is to be told in JSON whatever stands before it. */
	for (int i = 1; i < argc && !same(argv[i], "--"); i++)
		ret->json |= same(argv[i], "--json");
	for (p.at = 1; p.at < argc && status == 0; p.at++)
		status = take(&p, argv[p.at], e);
	/* Who asks for help gets it, whatever else is wrong or missing. */
	for (int i = 1; status < 0 && i < argc && !same(argv[i], "--"); i++)
		if (ret->operation &&
		    (same(argv[i], "--help") || same(argv[i], "-h")))
			ret->help = true;
	if (ret->help && (status == 0 || ret->operation))
		return 0;
	if (status < 0)
		return -1;
	if (ret->noun)
		return err_set(e, ERR_USAGE, "\"snapctl %s\" needs a command",
			       ret->noun);
	if (!ret->operation)
		return err_set(e, ERR_USAGE, "which command?");
	if (add_environment(ret, e) < 0)
		return -1;
	return args_finish(ret->args, e);
}

void cli_done(struct cli_request *r)
{
	args_free(r->args);
	r->args = NULL;
}
