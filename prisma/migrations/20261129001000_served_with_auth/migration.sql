-- Whether a server with auth has ever served this database. An open start is then refused, unless it is asked for (section 11).
ALTER TABLE event_log ADD COLUMN served_with_auth boolean NOT NULL DEFAULT false;
