/*
 * The OpenAPI 3.0 document of the API, printed from the table of operations.
 */
#ifndef SERVICE_OPENAPI_H
#define SERVICE_OPENAPI_H

#include "base/attr.h"
#include "base/json.h"

/* As one JSON value. */
void openapi_write(struct json *j) NONNULL(1);

#endif
