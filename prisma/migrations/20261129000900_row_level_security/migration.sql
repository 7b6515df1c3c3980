-- Row-level security, the last ring (section 11): a statement that forgot its condition on the workspace sees, and writes, no row
-- of another one. It does not stop who can send SQL of their own: whoever can set the setting sees what it names.
--
-- The server sends the workspaces of each statement, or of each transaction, as the setting `app.workspaces`, for this transaction
-- alone: an array of ids, or 'all' (src/db/scope.ts). Without it nothing is seen. FORCE, so that the policies hold for the owner,
-- too; a superuser, and a role with BYPASSRLS, pass them all the same, and the server refuses to work as one where it asks
-- who calls.
--
-- Both functions are called inside of a sub-select, and so once for each statement. The workspaces come first: the second is
-- not called where they decide. The parentheses around the sub-select and its cast make it an array: without them it would be
-- compared as a set of rows.

CREATE FUNCTION visible_workspaces() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT nullif(nullif(current_setting('app.workspaces', true), ''), 'all')::uuid[]
$$;

CREATE FUNCTION sees_all_workspaces() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(current_setting('app.workspaces', true) = 'all', false)
$$;

-- What belongs to a workspace.
CREATE POLICY workspaces_of_scope ON workspaces USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY api_keys_of_scope ON api_keys USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY ai_jobs_of_scope ON ai_jobs USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY job_labels_of_scope ON job_labels USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY workflow_runs_of_scope ON workflow_runs USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY user_input_requests_of_scope ON user_input_requests USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY node_executions_of_scope ON node_executions USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY flight_recorder_events_of_scope ON flight_recorder_events USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY worker_reports_of_scope ON worker_reports USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY usage_entries_of_scope ON usage_entries USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY output_chunks_of_scope ON output_chunks USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY quotas_of_scope ON quotas USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY job_totals_of_scope ON job_totals USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY usage_minutes_of_scope ON usage_minutes USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY usage_labels_of_scope ON usage_labels USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY usage_intervals_of_scope ON usage_intervals USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY bulk_actions_of_scope ON bulk_actions USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY bulk_action_items_of_scope ON bulk_action_items USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));

-- What belongs to the whole deployment is read by every statement, and changed by those that see all.
CREATE POLICY capability_profiles_read ON capability_profiles FOR SELECT USING (true);
CREATE POLICY capability_profiles_of_scope ON capability_profiles USING ((SELECT sees_all_workspaces()));
CREATE POLICY event_log_read ON event_log FOR SELECT USING (true);
CREATE POLICY event_log_of_scope ON event_log USING ((SELECT sees_all_workspaces()));
CREATE POLICY totals_position_read ON totals_position FOR SELECT USING (true);
CREATE POLICY totals_position_of_scope ON totals_position USING ((SELECT sees_all_workspaces()));

-- The role that migrates, and owns the tables, sees all: a migration would otherwise change nothing, and a trigger would miss what
-- it must look at. The server's role is not a member of it.
CREATE POLICY workspaces_of_owner ON workspaces TO CURRENT_USER USING (true);
CREATE POLICY api_keys_of_owner ON api_keys TO CURRENT_USER USING (true);
CREATE POLICY ai_jobs_of_owner ON ai_jobs TO CURRENT_USER USING (true);
CREATE POLICY job_labels_of_owner ON job_labels TO CURRENT_USER USING (true);
CREATE POLICY workflow_runs_of_owner ON workflow_runs TO CURRENT_USER USING (true);
CREATE POLICY user_input_requests_of_owner ON user_input_requests TO CURRENT_USER USING (true);
CREATE POLICY node_executions_of_owner ON node_executions TO CURRENT_USER USING (true);
CREATE POLICY flight_recorder_events_of_owner ON flight_recorder_events TO CURRENT_USER USING (true);
CREATE POLICY worker_reports_of_owner ON worker_reports TO CURRENT_USER USING (true);
CREATE POLICY usage_entries_of_owner ON usage_entries TO CURRENT_USER USING (true);
CREATE POLICY output_chunks_of_owner ON output_chunks TO CURRENT_USER USING (true);
CREATE POLICY quotas_of_owner ON quotas TO CURRENT_USER USING (true);
CREATE POLICY job_totals_of_owner ON job_totals TO CURRENT_USER USING (true);
CREATE POLICY usage_minutes_of_owner ON usage_minutes TO CURRENT_USER USING (true);
CREATE POLICY usage_labels_of_owner ON usage_labels TO CURRENT_USER USING (true);
CREATE POLICY usage_intervals_of_owner ON usage_intervals TO CURRENT_USER USING (true);
CREATE POLICY bulk_actions_of_owner ON bulk_actions TO CURRENT_USER USING (true);
CREATE POLICY bulk_action_items_of_owner ON bulk_action_items TO CURRENT_USER USING (true);
CREATE POLICY capability_profiles_of_owner ON capability_profiles TO CURRENT_USER USING (true);
CREATE POLICY event_log_of_owner ON event_log TO CURRENT_USER USING (true);
CREATE POLICY totals_position_of_owner ON totals_position TO CURRENT_USER USING (true);

ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE ai_jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE job_labels ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_runs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE user_input_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE node_executions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE flight_recorder_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE worker_reports ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE output_chunks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE quotas ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE job_totals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_minutes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_labels ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_intervals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE bulk_actions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE bulk_action_items ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE capability_profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE event_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE totals_position ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- Triggers that look at other rows do so as the owner, who sees all. One that did not find its job would let pass what it has to
-- refuse: NULL is not 'poisoned'. The search path is fixed, so that nobody puts a table of theirs before ours.
ALTER FUNCTION check_job_is_not_poisoned() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION ai_jobs_check_insert_tree() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION ai_jobs_require_event() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION job_labels_check_insert() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION ai_jobs_require_labels() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION workflow_runs_check_insert() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION workflow_runs_check_update() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION node_executions_check_update() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION ai_jobs_check_wait() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION ai_jobs_check_poisoned_outputs() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION workflow_runs_check_outputs() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION user_input_requests_check_insert() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION user_input_requests_check_update() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION user_input_requests_check_answer() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION usage_entries_check_insert() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION ai_jobs_require_usage() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION output_chunks_check_insert() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION output_chunks_check_delete() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION flight_recorder_events_check_insert() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION bulk_actions_check_update() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION bulk_action_items_count_added() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION bulk_action_items_count_finished() SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION capability_profiles_one_default() SECURITY DEFINER SET search_path = public, pg_temp;
