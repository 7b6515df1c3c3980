-- The rows that every database starts with.

-- The event log, with a new epoch, so that a cursor of another database's log is recognised (section 10).
INSERT INTO event_log DEFAULT VALUES;

-- Totals are aggregated from the start of the log: the position before every event.
INSERT INTO totals_position (job_id) VALUES ('00000000-0000-0000-0000-000000000000');

-- The workspace of requests that name none.
INSERT INTO workspaces (workspace_id) VALUES ('00000000-0000-7000-8000-000000000000');

-- The capability profiles of section 8.
INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES
  ('default', '{doc.read,doc.summarize}',
   '{doc_edit,sheet_transform,canvas_cluster,asr_transcribe,workflow_run,doc_summarize}'),
  ('terminal', '{term.exec}', '{terminal_exec}');
