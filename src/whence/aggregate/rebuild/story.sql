-- name: lock
-- Whether this session is the installation's only rebuild; it may be idle for hours.
SELECT pg_try_advisory_lock(hashtextextended('whence rebuild ' || current_schema(), 0)),
       set_config('idle_session_timeout', '0', false)
