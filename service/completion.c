#include "service/completion.h"

#include <string.h>

#include "base/text.h"
#include "service/help.h"
#include "service/operation.h"

/*
 * Names, choices and value names in the table are plain words; help texts
 * are quoted where a script takes them.
 */

static bool is_file(const struct operation_param *p)
{
	return p->type == PARAM_PATH || p->type == PARAM_DOCUMENT;
}

/* The choices "a|b" as "a b". */
static int add_choices(const char *choices, struct buf *out, struct err *e)
{
	for (; *choices; choices++)
		if (buf_add_byte(out, *choices == '|' ? ' ' : (uint8_t)*choices,
				 e) < 0)
			return -1;
	return 0;
}

/* The options of op and the general ones, each with a space behind. */
static int add_options(const struct operation *op, struct buf *out,
		       struct err *e)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->kind != PARAM_POSITIONAL &&
		    buf_addf(out, e, "--%s ", p->name) < 0)
			return -1;
	for (p = help_general; p->name; p++)
		if (buf_addf(out, e, "--%s ", p->name) < 0)
			return -1;
	return 0;
}

/* What may stand where a positional parameter does. */
static int add_words(const struct operation *op, struct buf *out, struct err *e)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->kind == PARAM_POSITIONAL && p->choices)
			return add_choices(p->choices, out, e);
	return 0;
}

static bool wants_files(const struct operation *op)
{
	const struct operation_param *p;

	for (size_t i = 0; (p = operation_param(op, i)); i++)
		if (p->kind == PARAM_POSITIONAL && is_file(p))
			return true;
	return false;
}

/* The words that can follow word ("" for the first), each once. */
static int add_verbs(const char *word, struct buf *out, struct err *e)
{
	const struct operation *op;
	const size_t n = strlen(word);
	char last[64] = "";

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		const char *at = op->verb;
		size_t len;

		if (n > 0) {
			if (strncmp(at, word, n) != 0 || at[n] != ' ')
				continue;
			at += n + 1;
		}
		len = strcspn(at, " ");
		if (len == strlen(last) && strncmp(last, at, len) == 0)
			continue;
		if (buf_add(out, at, len, e) < 0 ||
		    buf_add_byte(out, ' ', e) < 0)
			return -1;
		if (len < sizeof(last)) {
			memcpy(last, at, len);
			last[len] = '\0';
		}
	}
	return 0;
}

/* One "case" branch for each noun: the words that follow it. */
static int add_noun_cases(struct buf *out, struct err *e)
{
	const struct operation *op;
	char last[64] = "";

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		const size_t len = strcspn(op->verb, " ");

		if (!op->verb[len] || len >= sizeof(last) ||
		    (len == strlen(last) && strncmp(last, op->verb, len) == 0))
			continue;
		memcpy(last, op->verb, len);
		last[len] = '\0';
		if (buf_addf(out, e, "\t'%s') offers='", last) < 0 ||
		    add_verbs(last, out, e) < 0 ||
		    buf_add_str(out, "' ;;\n", e) < 0)
			return -1;
	}
	return 0;
}

/* One branch for each operation: options, words, whether files follow. */
static int add_operation_cases(struct buf *out, struct err *e)
{
	const struct operation *op;

	for (size_t i = 0; (op = operation_nth(i)); i++)
		if (buf_addf(out, e, "\t'%s') options='", op->verb) < 0 ||
		    add_options(op, out, e) < 0 ||
		    buf_add_str(out, "' offers='", e) < 0 ||
		    add_words(op, out, e) < 0 ||
		    buf_addf(out, e, "' files=%d ;;\n", wants_files(op)) < 0)
			return -1;
	return 0;
}

static int add_value_case(const char *verb, const struct operation_param *p,
			  struct buf *out, struct err *e)
{
	if (p->kind != PARAM_OPTION)
		return 0;
	if (buf_addf(out, e, "\t'%s --%s'", verb, p->name) < 0)
		return -1;
	if (p->letter && buf_addf(out, e, "|'%s -%c'", verb, p->letter) < 0)
		return -1;
	if (buf_add_str(out, ") value=1 offers='", e) < 0 ||
	    (p->choices && add_choices(p->choices, out, e) < 0))
		return -1;
	return buf_addf(out, e, "' files=%d ;;\n", is_file(p));
}

/* One branch for each option that takes a value. */
static int add_value_cases(struct buf *out, struct err *e)
{
	const struct operation *op;
	const struct operation_param *p;

	for (size_t i = 0; (op = operation_nth(i)); i++) {
		for (size_t k = 0; (p = operation_param(op, k)); k++)
			if (add_value_case(op->verb, p, out, e) < 0)
				return -1;
		for (p = help_general; p->name; p++)
			if (add_value_case(op->verb, p, out, e) < 0)
				return -1;
	}
	return 0;
}

/* The shared heart: from $verb, $previous and $typed to words and files. */
static int add_cases(struct buf *out, struct err *e)
{
	if (buf_add_str(out, "\tcase $verb in\n\t'') offers='", e) < 0 ||
	    add_verbs("", out, e) < 0 || buf_add_str(out, "' ;;\n", e) < 0 ||
	    add_noun_cases(out, e) < 0 || add_operation_cases(out, e) < 0 ||
	    buf_add_str(out, "\tesac\n\tcase \"$verb $previous\" in\n", e) <
		    0 ||
	    add_value_cases(out, e) < 0)
		return -1;
	return buf_add_str(out, "\tesac\n", e);
}

/* The verb is the first word, with the second when both name an operation. */
static int add_two_words(struct buf *out, struct err *e)
{
	const struct operation *op;

	if (buf_add_str(out, "\tcase \"$first $second\" in\n\t", e) < 0)
		return -1;
	for (size_t i = 0; (op = operation_nth(i)); i++)
		if (strchr(op->verb, ' ') &&
		    buf_addf(out, e, "'%s'|", op->verb) < 0)
			return -1;
	return buf_add_str(out,
			   "'-') verb=\"$first $second\" ;;\n"
			   "\t*) verb=$first ;;\n\tesac\n",
			   e);
}

static int write_bash(struct buf *out, struct err *e)
{
	static const char start[] =
		"# bash completion for snapctl; eval \"$(snapctl completion "
		"bash)\"\n"
		"_snapctl()\n{\n"
		"\tlocal typed=${COMP_WORDS[COMP_CWORD]} previous first= "
		"second= verb= word\n"
		"\tlocal options= offers= files=0 value=0 i\n"
		"\tprevious=${COMP_WORDS[COMP_CWORD-1]}\n"
		"\tif [ \"$typed\" = = ]; then\n"
		"\t\ttyped=\n"
		"\telif [ \"$previous\" = = ]; then\n"
		"\t\tprevious=${COMP_WORDS[COMP_CWORD-2]}\n"
		"\tfi\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tword=${COMP_WORDS[i]}\n"
		"\t\tcase $word in\n"
		"\t\t-*) continue ;;\n"
		"\t\tesac\n"
		"\t\tif [ -z \"$first\" ]; then first=$word\n"
		"\t\telif [ -z \"$second\" ]; then second=$word; fi\n"
		"\tdone\n";
	static const char end[] =
		"\tcase $typed in\n"
		"\t-*) [ $value = 1 ] || offers=$options files=0 ;;\n"
		"\tesac\n"
		"\tCOMPREPLY=($(compgen -W \"$offers\" -- \"$typed\"))\n"
		"\tif [ $files = 1 ] && [ ${#COMPREPLY[@]} = 0 ]; then\n"
		"\t\tcompopt -o filenames 2>/dev/null\n"
		"\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$typed\")\n"
		"\tfi\n"
		"}\n"
		"complete -F _snapctl snapctl\n";

	if (buf_add_str(out, start, e) < 0 || add_two_words(out, e) < 0 ||
	    add_cases(out, e) < 0)
		return -1;
	return buf_add_str(out, end, e);
}

static int write_zsh(struct buf *out, struct err *e)
{
	static const char start[] =
		"#compdef snapctl\n"
		"_snapctl()\n{\n"
		"\tlocal typed=${words[CURRENT]} previous=${words[CURRENT-1]} "
		"first= second= verb= word\n"
		"\tlocal options= files=0 value=0 i\n"
		"\tfor ((i = 2; i < CURRENT; i++)); do\n"
		"\t\tword=${words[i]}\n"
		"\t\t[[ $word == -* ]] && continue\n"
		"\t\tif [[ -z $first ]]; then first=$word\n"
		"\t\telif [[ -z $second ]]; then second=$word; fi\n"
		"\tdone\n"
		"\tlocal offers=\n";
	static const char end[] =
		"\tif [[ $typed == -* && $value == 0 ]]; then\n"
		"\t\toffers=$options files=0\n"
		"\tfi\n"
		"\tcompadd -- ${=offers}\n"
		"\t[[ $files == 1 ]] && _files\n"
		"\treturn 0\n"
		"}\n"
		"if [[ ${funcstack[1]} == _snapctl ]]; then\n"
		"\t_snapctl \"$@\"\n"
		"else\n"
		"\tcompdef _snapctl snapctl\n"
		"fi\n";

	if (buf_add_str(out, start, e) < 0 || add_two_words(out, e) < 0 ||
	    add_cases(out, e) < 0)
		return -1;
	return buf_add_str(out, end, e);
}

/* Text inside single quotes of fish. */
static int add_fish_quoted(const char *text, struct buf *out, struct err *e)
{
	if (buf_add_byte(out, '\'', e) < 0)
		return -1;
	for (; *text; text++) {
		if ((*text == '\'' || *text == '\\') &&
		    buf_add_byte(out, '\\', e) < 0)
			return -1;
		if (buf_add_byte(out, (uint8_t)*text, e) < 0)
			return -1;
	}
	return buf_add_byte(out, '\'', e);
}

/* "complete -c snapctl -n '__snapctl_at VERB'" */
static int begin_fish(const char *verb, struct buf *out, struct err *e)
{
	return buf_addf(out, e, "complete -c snapctl -n '__snapctl_at %s'",
			verb);
}

static int add_fish_param(const char *verb, const struct operation_param *p,
			  struct buf *out, struct err *e)
{
	if (p->kind == PARAM_POSITIONAL && !p->choices)
		return 0;
	if (begin_fish(verb, out, e) < 0)
		return -1;
	if (p->kind != PARAM_POSITIONAL &&
	    buf_addf(out, e, " -l %s", p->name) < 0)
		return -1;
	if (p->letter && buf_addf(out, e, " -s %c", p->letter) < 0)
		return -1;
	if (p->kind == PARAM_OPTION &&
	    buf_add_str(out, is_file(p) ? " -r -F" : " -x", e) < 0)
		return -1;
	if (p->choices && (buf_add_str(out, " -a '", e) < 0 ||
			   add_choices(p->choices, out, e) < 0 ||
			   buf_add_byte(out, '\'', e) < 0))
		return -1;
	if (buf_add_str(out, " -d ", e) < 0 ||
	    add_fish_quoted(p->help, out, e) < 0)
		return -1;
	return buf_add_byte(out, '\n', e);
}

/* The last word of a verb is offered once those before it were typed. */
static int add_fish_verb(const struct operation *op, struct buf *out,
			 struct err *e)
{
	const char *space = strchr(op->verb, ' ');
	char noun[64] = "";

	if (space && (size_t)(space - op->verb) < sizeof(noun)) {
		memcpy(noun, op->verb, (size_t)(space - op->verb));
		noun[space - op->verb] = '\0';
		if (buf_addf(out, e,
			     "complete -c snapctl -n '__snapctl_at' -a %s\n",
			     noun) < 0)
			return -1;
	}
	if (begin_fish(noun, out, e) < 0 ||
	    buf_addf(out, e, " -a %s -d ", space ? space + 1 : op->verb) < 0 ||
	    add_fish_quoted(op->summary, out, e) < 0)
		return -1;
	return buf_add_byte(out, '\n', e);
}

static int write_fish(struct buf *out, struct err *e)
{
	static const char start[] =
		"# fish completion for snapctl\n"
		"function __snapctl_at\n"
		"\tset -l words (string match -v -- '-*' (commandline -opc))\n"
		"\tset -l n (count $argv)\n"
		"\tif test $n -eq 0\n"
		"\t\ttest (count $words) -eq 1; and return 0; or return 1\n"
		"\tend\n"
		"\ttest (count $words) -gt $n; or return 1\n"
		"\tset -l last (math $n + 1)\n"
		"\ttest \"$words[2..$last]\" = \"$argv\"\n"
		"end\n"
		"complete -c snapctl -f\n";
	const struct operation *op;
	const struct operation_param *p;

	if (buf_add_str(out, start, e) < 0)
		return -1;
	for (p = help_general; p->name; p++)
		if (buf_addf(out, e, "complete -c snapctl -l %s%s -d ", p->name,
			     p->kind == PARAM_OPTION ? " -r -F" : "") < 0 ||
		    add_fish_quoted(p->help, out, e) < 0 ||
		    buf_add_byte(out, '\n', e) < 0)
			return -1;
	for (size_t i = 0; (op = operation_nth(i)); i++) {
		if (add_fish_verb(op, out, e) < 0)
			return -1;
		if (wants_files(op) && (begin_fish(op->verb, out, e) < 0 ||
					buf_add_str(out, " -F\n", e) < 0))
			return -1;
		for (size_t k = 0; (p = operation_param(op, k)); k++)
			if (add_fish_param(op->verb, p, out, e) < 0)
				return -1;
	}
	return 0;
}

int completion_write(const char *shell, struct buf *out, struct err *e)
{
	static const struct {
		const char *shell;
		int (*write)(struct buf *out, struct err *e);
	} writers[] = { { "bash", write_bash },
			{ "zsh", write_zsh },
			{ "fish", write_fish } };

	for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++)
		if (strcmp(writers[i].shell, shell) == 0)
			return writers[i].write(out, e);
	return err_set(e, ERR_USAGE, "there is no completion for %s",
		       text_quote_str(shell).s);
}
