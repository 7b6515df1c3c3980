-- From this order_xid on the log is whole. A cursor from before it is answered with CURSOR_EXPIRED, never with a silent
-- gap (section 10): whoever lets old events go raises it in the same transaction.
ALTER TABLE "event_log" ADD COLUMN "kept_from" BIGINT NOT NULL DEFAULT 0;
ALTER TABLE event_log ADD CONSTRAINT event_log_kept_from CHECK (kept_from >= 0);
