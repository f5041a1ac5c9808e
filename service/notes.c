#include "service/notes.h"

#include <stdio.h>
#include <string.h>

#include "base/cursor.h"

void notes_init(struct notes *x)
{
	*x = (struct notes){ .n = 0 };
	(void)pthread_mutex_init(&x->lock, NULL);
	buf_init(&x->list, NOTES_BYTES);
}

void notes_done(struct notes *x)
{
	(void)pthread_mutex_destroy(&x->lock);
	buf_done(&x->list);
}

void notes_add(void *arg, const char *path, size_t len, const char *message)
{
	struct notes *x = (struct notes *)arg;
	const size_t message_len = strlen(message);
	struct err ignored = { 0 };
	size_t before;

	(void)pthread_mutex_lock(&x->lock);
	before = x->list.len;
	x->n++;
	if (buf_add_varint(&x->list, len, &ignored) ||
	    buf_add(&x->list, path, len, &ignored) ||
	    buf_add_varint(&x->list, message_len, &ignored) ||
	    buf_add(&x->list, message, message_len, &ignored))
		x->list.len = before;
	else
		x->kept++;
	(void)pthread_mutex_unlock(&x->lock);
}

void notes_write(struct notes *x, struct json *j, const char *key)
{
	struct cursor c = cursor_of(x->list.data, x->list.len);

	json_key(j, key);
	json_begin_list(j);
	while (c.left && !c.bad) {
		const size_t path_len = (size_t)cursor_varint(&c);
		const uint8_t *path = cursor_bytes(&c, path_len);
		const size_t len = (size_t)cursor_varint(&c);
		const uint8_t *message = cursor_bytes(&c, len);

		if (c.bad)
			break;
		json_begin_object(j);
		json_path(j, "path", path, path_len);
		json_key(j, "message");
		json_strn(j, (const char *)message, len);
		json_end_object(j);
	}
	if (x->kept < x->n) {
		char more[64];

		(void)snprintf(more, sizeof(more), "and %llu more",
			       (unsigned long long)(x->n - x->kept));
		json_begin_object(j);
		json_kv_str(j, "path", "");
		json_kv_str(j, "message", more);
		json_end_object(j);
	}
	json_end_list(j);
}
