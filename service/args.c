#include "service/args.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

struct value {
	char *text;
	size_t n;
	char *label; /* of a document */
	union {
		int64_t number; /* also a size, a duration in ms, a switch */
		struct instant time;
	} as;
};

/* The values of one parameter. */
struct slot {
	const struct operation_param *param;
	struct value *values;
	size_t count;
	size_t room;
	bool is_default;
};

struct args {
	const struct operation *op;
	struct slot *slots; /* one for each parameter */
	size_t slot_count;
	size_t values; /* in all slots */
	size_t bytes;
};

static void value_done(struct value *v)
{
	free(v->text);
	free(v->label);
}

int args_new(struct args **ret, const struct operation *op, struct err *e)
{
	struct args *a = calloc(1, sizeof(*a));

	if (!a)
		return err_oom(e);
	a->op = op;
	while (operation_param(op, a->slot_count))
		a->slot_count++;
	a->slots = calloc(a->slot_count + 1, sizeof(*a->slots));
	if (!a->slots) {
		args_free(a);
		return err_oom(e);
	}
	for (size_t i = 0; i < a->slot_count; i++)
		a->slots[i].param = operation_param(op, i);
	*ret = a;
	return 0;
}

void args_free(struct args *a)
{
	if (!a)
		return;
	for (size_t i = 0; a->slots && i < a->slot_count; i++) {
		struct slot *s = &a->slots[i];

		for (size_t k = 0; k < s->count; k++)
			value_done(&s->values[k]);
		free(s->values);
	}
	free(a->slots);
	free(a);
}

/* How messages call a parameter: "--tag", or "PATH" for a positional one. */
static const char *shown(const struct operation_param *p, char out[80])
{
	const size_t n = strlen(p->name);

	if (p->kind == PARAM_POSITIONAL)
		return p->value ? p->value : p->name;
	assert(n + 3 <= 80);
	out[0] = '-';
	out[1] = '-';
	memcpy(out + 2, p->name, n + 1);
	return out;
}

/* Whether text is one of the "a|b|c" of choices. */
static bool is_choice(const char *choices, const char *text)
{
	const size_t n = strlen(text);

	while (*choices) {
		const size_t len = strcspn(choices, "|");

		if (len == n && strncmp(choices, text, n) == 0)
			return true;
		choices += len + (choices[len] == '|');
	}
	return false;
}

static bool parse_size(const char *text, int64_t *ret)
{
	static const char units[] = "KMGT";
	char digits[24];
	size_t n = strlen(text);
	const char *unit = n ? strchr(units, text[n - 1]) : NULL;
	int64_t v;

	if (unit && *unit)
		n--;
	else
		unit = NULL;
	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, text, n);
	digits[n] = '\0';
	if (!text_number(digits, 0, INT64_MAX, &v))
		return false;
	for (ptrdiff_t i = 0; unit && i <= unit - units; i++)
		if (__builtin_mul_overflow(v, (int64_t)1024, &v))
			return false;
	*ret = v;
	return true;
}

/* Check v->text against its type and set v->as.  Says what was expected. */
static int parse(const struct operation_param *p, struct value *v,
		 struct err *e)
{
	switch (p->type) {
	case PARAM_TEXT:
	case PARAM_PATH:
	case PARAM_DOCUMENT:
		return 0;
	case PARAM_NUMBER:
		if (text_number(v->text, 0, INT64_MAX, &v->as.number))
			return 0;
		return err_set(e, ERR_USAGE, "%s is not a whole number from 0",
			       text_quote_str(v->text).s);
	case PARAM_SIZE:
		if (parse_size(v->text, &v->as.number))
			return 0;
		return err_set(e, ERR_USAGE,
			       "%s is not a size such as 512, 64K, 10M or 2G",
			       text_quote_str(v->text).s);
	case PARAM_DURATION:
		return instant_duration_parse(v->text, &v->as.number, e);
	case PARAM_TIME:
		return instant_parse(v->text, &v->as.time, e);
	case PARAM_CHOICE:
		if (is_choice(p->choices, v->text))
			return 0;
		return err_set(e, ERR_USAGE, "%s is not one of %s",
			       text_quote_str(v->text).s, p->choices);
	}
	return err_set(e, ERR_BUG, "a parameter has no type");
}

static int parse_switch(struct value *v, struct err *e)
{
	if (strcmp(v->text, "true") == 0)
		v->as.number = 1;
	else if (strcmp(v->text, "false") != 0)
		return err_set(e, ERR_USAGE, "%s is neither true nor false",
			       text_quote_str(v->text).s);
	return 0;
}

static char *copy(const char *text, size_t n)
{
	char *s = malloc(n + 1);

	if (s) {
		memcpy(s, text, n);
		s[n] = '\0';
	}
	return s;
}

/* Make room for one more value of n bytes. */
static int reserve(struct args *a, struct slot *s, size_t n, struct err *e)
{
	if (a->values == ARGS_VALUES || n > ARGS_TEXT - a->bytes)
		return err_set(e, ERR_USAGE, "too many or too long arguments");
	if (s->count == s->room) {
		const size_t room = s->room ? 2 * s->room : 4;
		struct value *more = reallocarray(s->values, room,
						  sizeof(*more));

		if (!more)
			return err_oom(e);
		s->values = more;
		s->room = room;
	}
	return 0;
}

static int add(struct args *a, struct slot *s, const char *label,
	       const char *text, size_t n, struct err *e)
{
	const bool is_switch = s->param->kind == PARAM_SWITCH;
	struct value *v;
	char name[80];

	if (memchr(text, '\0', n)) {
		(void)err_set(e, ERR_USAGE, "%s holds a zero byte",
			      label ? label : shown(s->param, name));
		return err_hint(e, "is it text, and the file that was meant?");
	}
	if (reserve(a, s, n, e) < 0)
		return -1;
	v = &s->values[s->count];
	*v = (struct value){ .text = copy(text, n), .n = n };
	if (label)
		v->label = copy(label, strlen(label));
	if (!v->text || (label && !v->label)) {
		value_done(v);
		return err_oom(e);
	}
	if ((is_switch ? parse_switch(v, e) : parse(s->param, v, e)) < 0) {
		value_done(v);
		return err_wrap(e, "%s", shown(s->param, name));
	}
	a->bytes += n;
	a->values++;
	s->count++;
	return 0;
}

static struct slot *slot_named(const struct args *a, const char *name)
{
	for (size_t i = 0; i < a->slot_count; i++)
		if (strcmp(a->slots[i].param->name, name) == 0)
			return &a->slots[i];
	return NULL;
}

static const char *slot_name(void *arg, size_t n)
{
	const struct args *a = (const struct args *)arg;

	return n < a->slot_count ? a->slots[n].param->name : NULL;
}

/* The parameter's slot, if one more value may go there. */
static int accept(struct args *a, const char *name, struct slot **ret,
		  struct err *e)
{
	struct slot *s = slot_named(a, name);
	char text[80];

	if (!s) {
		const char *near = operation_nearest(name, slot_name, a);

		(void)err_set(e, ERR_USAGE, "%s has no parameter %s",
			      a->op->verb, text_quote_str(name).s);
		if (near)
			(void)err_hint(e, "did you mean \"%s\"?", near);
		return -1;
	}
	if (!s->param->repeated && s->count)
		return err_set(e, ERR_USAGE, "%s is given more than once",
			       shown(s->param, text));
	*ret = s;
	return 0;
}

int args_add(struct args *a, const char *name, const char *text, size_t n,
	     struct err *e)
{
	return args_add_document(a, name, name, text, n, e);
}

int args_add_str(struct args *a, const char *name, const char *text,
		 struct err *e)
{
	return args_add(a, name, text, strlen(text), e);
}

int args_add_default(struct args *a, const char *name, const char *text,
		     struct err *e)
{
	struct slot *s;

	if (accept(a, name, &s, e) < 0 ||
	    add(a, s, NULL, text, strlen(text), e) < 0)
		return -1;
	s->is_default = true;
	return 0;
}

int args_add_document(struct args *a, const char *name, const char *label,
		      const char *text, size_t n, struct err *e)
{
	struct slot *s;

	if (accept(a, name, &s, e) < 0)
		return -1;
	if (s->param->type != PARAM_DOCUMENT)
		label = NULL;
	return add(a, s, label, text, n, e);
}

int args_finish(struct args *a, struct err *e)
{
	char name[80];

	for (size_t i = 0; i < a->slot_count; i++) {
		struct slot *s = &a->slots[i];
		const char *fallback = s->param->fallback;

		if (s->count)
			continue;
		if (fallback) {
			s->is_default = true;
			if (add(a, s, NULL, fallback, strlen(fallback), e) < 0)
				return -1;
		} else if (s->param->required) {
			(void)err_set(e, ERR_USAGE, "%s needs %s", a->op->verb,
				      shown(s->param, name));
			return s->param->env ? err_hint(e,
							"name it with --%s "
							"%s, or set %s",
							s->param->name,
							s->param->value,
							s->param->env)
					     : -1;
		}
	}
	return 0;
}

/* Readers: a name the operation does not have is our own mistake. */

static const struct slot *get(const struct args *a, const char *name)
{
	const struct slot *s = slot_named(a, name);

	assert(s);
	return s;
}

static const struct value *get_typed(const struct args *a, const char *name,
				     enum param_type type)
{
	const struct slot *s = get(a, name);

	assert(s->count && s->param->type == type);
	return &s->values[0];
}

bool args_given(const struct args *a, const char *name)
{
	const struct slot *s = get(a, name);

	return s->count && !s->is_default;
}

const char *args_text(const struct args *a, const char *name)
{
	return args_nth(a, name, 0);
}

size_t args_count(const struct args *a, const char *name)
{
	return get(a, name)->count;
}

const char *args_nth(const struct args *a, const char *name, size_t n)
{
	const struct slot *s = get(a, name);

	return n < s->count ? s->values[n].text : NULL;
}

bool args_switch(const struct args *a, const char *name)
{
	const struct slot *s = get(a, name);

	assert(s->param->kind == PARAM_SWITCH);
	return s->count && s->values[0].as.number;
}

int64_t args_number(const struct args *a, const char *name)
{
	return get_typed(a, name, PARAM_NUMBER)->as.number;
}

unsigned int args_limit(const struct args *a, const char *name)
{
	const int64_t n = args_number(a, name);

	return n < UINT_MAX ? (unsigned int)n : UINT_MAX;
}

uint64_t args_size(const struct args *a, const char *name)
{
	return (uint64_t)get_typed(a, name, PARAM_SIZE)->as.number;
}

int64_t args_duration_ms(const struct args *a, const char *name)
{
	return get_typed(a, name, PARAM_DURATION)->as.number;
}

struct instant args_time(const struct args *a, const char *name)
{
	return get_typed(a, name, PARAM_TIME)->as.time;
}

const char *args_document(const struct args *a, const char *name, size_t *ret_n,
			  const char **ret_label)
{
	const struct value *v = get_typed(a, name, PARAM_DOCUMENT);

	*ret_n = v->n;
	*ret_label = v->label;
	return v->text;
}
