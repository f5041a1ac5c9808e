/*
 * The rows of the table of operations, one array for each noun; operation.h
 * says how to add to them.  Each array ends with an empty row.
 */
#ifndef SERVICE_OP_H
#define SERVICE_OP_H

#include "service/operation.h"

extern const struct operation op_status_rows[];
extern const struct operation op_resource_rows[];
extern const struct operation op_snapshot_rows[];
extern const struct operation op_restore_rows[];
extern const struct operation op_diff_rows[];
extern const struct operation op_compare_rows[];
extern const struct operation op_deletion_rows[];
extern const struct operation op_hold_rows[];
extern const struct operation op_undelete_rows[];
extern const struct operation op_repo_rows[];
extern const struct operation op_gc_rows[];
extern const struct operation op_key_rows[];
extern const struct operation op_region_rows[];
extern const struct operation op_heal_rows[];
extern const struct operation op_region_health_rows[];
extern const struct operation op_region_rules_rows[];
extern const struct operation op_promote_rows[];
extern const struct operation op_schedule_rows[];
extern const struct operation op_run_rows[];
extern const struct operation op_drill_rows[];
extern const struct operation op_report_rows[];
extern const struct operation op_policy_rows[];
extern const struct operation op_audit_rows[];
extern const struct operation op_catalog_rows[];
extern const struct operation op_config_rows[];
extern const struct operation op_program_rows[];

#endif
