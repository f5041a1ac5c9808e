#include "service/op_actor.h"

#include <pwd.h>
#include <stdio.h>

void op_actor_init(struct op_actor *a, const struct operation_call *call)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char room[16384];

	if (getpwuid_r(call->caller.uid, &entry, room, sizeof(room), &found) !=
	    0)
		found = NULL;
	if (found)
		(void)snprintf(a->name, sizeof(a->name), "%s", found->pw_name);
	else
		(void)snprintf(a->name, sizeof(a->name), "uid %u",
			       (unsigned int)call->caller.uid);
	a->actor = (struct catalog_actor){ .uid = (int64_t)call->caller.uid,
					   .name = a->name,
					   .now = call->now };
}
