#include "storage/sources/source.h"

#include <assert.h>
#include <string.h>

void source_close(struct source *s)
{
	if (s)
		s->ops->close(s);
}

bool source_name_valid(const char *name)
{
	const size_t n = strlen(name);

	return n > 0 && n <= 255 && !strchr(name, '/') &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

unsigned int source_features(const struct source *s)
{
	return s->ops->features(s);
}

void source_begin(struct source *s, const struct object_id *parent,
		  struct object_id own)
{
	if (s->ops->begin)
		s->ops->begin(s, parent, own);
}

int source_next(struct source *s, struct entry *ret, struct err *e)
{
	return s->ops->next(s, ret, e);
}

int source_take(struct source *s, struct source_handle **ret, struct err *e)
{
	return s->ops->take(s, ret, e);
}

int source_describe(struct source_handle *h, struct entry *en, struct err *e)
{
	assert(en->path && en->path_len > 0);
	return h->source->ops->describe(h, en, e);
}

int source_read(struct source_handle *h, void *out, size_t n,
		struct source_extent *ret, struct err *e)
{
	assert(n > 0);
	*ret = (struct source_extent){ .len = 0 };
	return h->source->ops->read(h, out, n, ret, e);
}

bool source_same_below(const struct source *s)
{
	return s->ops->same_below && s->ops->same_below(s);
}

void source_skip_below(struct source *s)
{
	s->ops->skip_below(s);
}

void source_refuse(struct source_handle *h)
{
	h->source->ops->refuse(h);
}

enum source_state source_finish(struct source_handle *h, struct entry *en)
{
	assert(en->path && en->path_len > 0);
	return h->source->ops->finish(h, en);
}

void source_release(struct source_handle *h)
{
	if (h)
		h->source->ops->release(h);
}

void source_progress(const struct source *s, struct source_progress *ret)
{
	s->ops->progress(s, ret);
}

bool source_state_recorded(enum source_state state)
{
	return state < SOURCE_VANISHED;
}

const char *source_state_name(enum source_state state)
{
	static const char *const names[SOURCE_STATE_END] = {
		[SOURCE_OK] = "ok",
		[SOURCE_CHANGED] = "changed",
		[SOURCE_GREW] = "grew",
		[SOURCE_SHRANK] = "shrank",
		[SOURCE_VANISHED] = "vanished",
		[SOURCE_FAILED] = "failed",
	};
	const unsigned int i = (unsigned int)state;

	return i < SOURCE_STATE_END ? names[i] : "unknown";
}
