/*
 * What services reply when they are asked for keys.  Pure, and hostile: the
 * container's agent may be anything that listens there.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "storage/stores/s3_credentials_internal.h"
#include "storage/stores/s3_xml.h"

/* ---- JSON --------------------------------------------------------------- */

/* jansson frees texts as they are.  They are its own, and not constant. */
static void wipe_texts(json_t *object)
{
	const char *name;
	json_t *member;

	json_object_foreach(object, name, member)
	{
		const char *text = json_string_value(member);
		void *bytes;

		memcpy(&bytes, &text, sizeof(bytes));
		if (text)
			secret_wipe(bytes, json_string_length(member));
	}
}

static int take_member(const json_t *object, const char *name, bool needed,
		       char *out, size_t room, struct err *e)
{
	const json_t *member = json_object_get(object, name);

	if (!needed && (!member || json_is_null(member) ||
			json_string_length(member) == 0)) {
		out[0] = '\0';
		return 0;
	}
	if (!json_is_string(member))
		return err_set(e, ERR_IO, "there is no %s in it", name);
	if (s3_credentials_take(name, json_string_value(member),
				json_string_length(member), out, room, e)) {
		e->code = ERR_IO;
		return -1;
	}
	return 0;
}

static int take_end(const char *text, struct s3_credentials_got *ret,
		    struct err *e)
{
	struct err why;

	ret->ends = text[0] != '\0';
	if (!ret->ends || instant_parse(text, &ret->end, &why) == 0)
		return 0;
	return err_set(e, ERR_IO, "its Expiration is no time");
}

static int take_object(const json_t *object, struct s3_credentials_got *ret,
		       struct err *e)
{
	const char *code = json_string_value(json_object_get(object, "Code"));
	char end[64];

	if (!json_is_object(object))
		return err_set(e, ERR_IO, "is no JSON object");
	if (code && strcmp(code, "Success") != 0)
		return err_set(e, ERR_DENIED, "there are none (%.80s)",
			       text_quote_str(code).s);
	if (take_member(object, "AccessKeyId", true, ret->keys->id,
			sizeof(ret->keys->id), e) ||
	    take_member(object, "SecretAccessKey", true, ret->keys->secret,
			sizeof(ret->keys->secret), e) ||
	    take_member(object, "Token", false, ret->keys->token,
			sizeof(ret->keys->token), e) ||
	    take_member(object, "Expiration", false, end, sizeof(end), e))
		return -1;
	return take_end(end, ret, e);
}

int s3_credentials_json(const char *text, size_t n,
			struct s3_credentials_got *ret, struct err *e)
{
	json_error_t why;
	json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	int r;

	if (!object && json_error_code(&why) == json_error_out_of_memory)
		return err_oom(e);
	/* What jansson says of an error repeats what is near it. */
	if (!object)
		return err_set(e, ERR_IO, "is no JSON");
	r = take_object(object, ret, e);
	wipe_texts(object);
	json_decref(object);
	return r;
}

/* ---- XML ---------------------------------------------------------------- */

static int take_element(const char *text, size_t n, const char *name, char *out,
			size_t room, struct err *e)
{
	char path[128];

	(void)snprintf(path, sizeof(path),
		       "AssumeRoleWithWebIdentityResult/Credentials/%s", name);
	if (s3_xml_text(text, n, "AssumeRoleWithWebIdentityResponse", path, out,
			room, e)) {
		e->code = e->code == ERR_CORRUPT ? ERR_IO : e->code;
		return -1;
	}
	/* Judged where it is; it may hold anything so far. */
	if (s3_credentials_take(name, out, strlen(out), NULL, room, e)) {
		e->code = ERR_IO;
		return -1;
	}
	return 0;
}

int s3_credentials_xml(const char *text, size_t n,
		       struct s3_credentials_got *ret, struct err *e)
{
	char end[64];

	if (take_element(text, n, "AccessKeyId", ret->keys->id,
			 sizeof(ret->keys->id), e) ||
	    take_element(text, n, "SecretAccessKey", ret->keys->secret,
			 sizeof(ret->keys->secret), e) ||
	    take_element(text, n, "SessionToken", ret->keys->token,
			 sizeof(ret->keys->token), e) ||
	    take_element(text, n, "Expiration", end, sizeof(end), e))
		return -1;
	return take_end(end, ret, e);
}
