#include "service/op_known.h"

#include <string.h>

#include "base/text.h"
#include "service/catalog.h"

struct look_up {
	const char *name;
	bool found;
};

static int see(void *arg, const struct catalog_resource *r,
	       struct err *e UNUSED)
{
	struct look_up *q = arg;

	q->found = strcmp(r->name, q->name) == 0;
	return q->found ? 1 : 0;
}

int op_known(struct operation_call *call, const char *kind, const char *name,
	     struct err *e)
{
	const struct catalog_resource_filter filter = { .kind = kind };
	struct look_up q = { .name = name };

	if (catalog_resources(call->catalog, &filter, see, &q, e) < 0)
		return -1;
	return q.found;
}

int op_known_refuse(struct operation_call *call, const char *kind,
		    const char *name, struct err *e)
{
	struct err ignored;
	char lower[32] = "";
	char near[256];

	for (size_t i = 0; kind[i] && i + 1 < sizeof(lower); i++)
		lower[i] = (char)(kind[i] | 0x20);
	(void)err_set(e, ERR_NOT_FOUND, "there is no %s %s", lower,
		      text_quote_str(name).s);
	if (catalog_resource_nearest(call->catalog, kind, name, near,
				     &ignored) == 1)
		return err_hint(e, "did you mean \"%s\"?", near);
	return err_hint(e, "\"snapctl get %ss\" lists them", lower);
}
