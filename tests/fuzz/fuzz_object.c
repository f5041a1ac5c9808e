/*
 * How an object is called, and how it begins: the first byte is the kind that
 * is expected, the rest both a name and a header.
 */
#include "storage/repository/object.h"
#include "tests/support/fuzz.h"

static struct object_name name_again(enum object_kind kind,
				     struct object_id first,
				     struct object_id last)
{
	switch (kind) {
	case OBJECT_MANIFEST:
	case OBJECT_VOID:
	case OBJECT_TOMBSTONE:
	case OBJECT_UNDELETE:
	case OBJECT_LOCK:
		return object_name_pair(kind, first, last);
	default:
		return object_name(kind, last);
	}
}

static void read_name(enum object_kind kind, const char *text)
{
	struct object_id first;
	struct object_id last;
	uint64_t number;

	if (object_name_parse(kind, text, &first, &last)) {
		FUZZ_PROMISE(store_name_ok(text));
		FUZZ_PROMISE(strncmp(text, object_kind_folder(kind),
				     strlen(object_kind_folder(kind))) == 0);
		if (kind != OBJECT_KEYRING && kind != OBJECT_SEGMENT &&
		    kind != OBJECT_CONFIG)
			FUZZ_PROMISE(strcmp(name_again(kind, first, last).s,
					    text) == 0);
	}
	if (object_name_parse_number(kind, text, &number)) {
		FUZZ_PROMISE(store_name_ok(text));
		if (kind == OBJECT_KEYRING)
			FUZZ_PROMISE(
				strcmp(object_name_generation((uint32_t)number)
					       .s,
				       text) == 0);
		if (kind == OBJECT_SEGMENT &&
		    object_name_parse(kind, text, &first, &last))
			FUZZ_PROMISE(strcmp(object_name_segment(number, last).s,
					    text) == 0);
	}
	if (object_id_parse(text, &last)) {
		char again[OBJECT_ID_TEXT];

		object_id_format(last, again);
		FUZZ_PROMISE(strcasecmp(again, text) == 0);
	}
}

static void read_header(enum object_kind kind, const uint8_t *bytes)
{
	uint8_t again[OBJECT_HEADER_SIZE];
	struct object_header h;
	struct err e;

	if (object_header_decode(bytes, kind, &h, &e)) {
		FUZZ_PROMISE(e.code == ERR_CORRUPT || e.code == ERR_NEWER);
		return;
	}
	FUZZ_PROMISE(h.kind == kind);
	object_header_encode(&h, again);
	FUZZ_PROMISE(memcmp(again, bytes, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	enum object_kind kind;
	char *text;

	if (n < 1)
		return 0;
	kind = (enum object_kind)(1 + bytes[0] % (OBJECT_KIND_END - 1));
	text = fuzz_text(bytes + 1, n - 1);
	read_name(kind, text);
	if (n > OBJECT_HEADER_SIZE)
		read_header(kind, bytes + 1);
	free(text);
	return 0;
}
