-- name: limits
SELECT set_config('lock_timeout', :lock, false), set_config('idle_in_transaction_session_timeout', :frozen, false)

-- name: fold_alone
-- See the compactor's fold_in_turn.
SELECT pg_advisory_lock(hashtextextended('whence fold ' || current_schema(), 0))

-- name: apply_nothing!
-- Waits for the batches that are under way. Later ones, and whoever takes a partition over, wait for us before they hold
-- anything; plain reads pass.
LOCK TABLE partition_position IN EXCLUSIVE MODE

-- name: next_epochs!
-- Whoever owns a partition remembers what the former tables said: it has to take the partition over anew.
UPDATE {shadow}.partition_position AS rebuilt SET epoch = serving.epoch + 1
FROM {serving}.partition_position AS serving WHERE serving.partition = rebuilt.partition

-- name: views
-- Statements that let the views of the former tables read those of the same names; to be written before the names move.
-- The views themselves, and who may read them, stay.
SELECT DISTINCT
    'CREATE OR REPLACE VIEW ' || view.oid::regclass || coalesce(' WITH (' || array_to_string(view.reloptions, ', ') || ')', '')
    || ' AS ' || pg_get_viewdef(view.oid)
FROM pg_class AS rebuilt
JOIN pg_namespace ON pg_namespace.oid = rebuilt.relnamespace
JOIN pg_depend ON refobjid = rebuilt.oid AND refclassid = 'pg_class'::regclass AND classid = 'pg_rewrite'::regclass
JOIN pg_rewrite ON pg_rewrite.oid = objid
JOIN pg_class AS view ON view.oid = ev_class AND view.relkind = 'v'
WHERE nspname = :serving AND rebuilt.relname = ANY (:tables::text[])

-- name: rights
-- Statements that give the new tables the rights of the former ones, and their owner last.
SELECT statement
FROM (
    SELECT 1 AS step,
           'GRANT ' || privilege_type || ' ON ' || made.oid::regclass || ' TO '
           || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
           || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS statement
    FROM pg_class AS held, aclexplode(held.relacl), pg_class AS made
    WHERE held.relnamespace = quote_ident(:serving)::regnamespace
      AND made.relnamespace = quote_ident(:shadow)::regnamespace
      AND held.relname = made.relname AND held.relname = ANY (:tables::text[]) AND grantee <> held.relowner
    UNION ALL
    SELECT 2, 'ALTER TABLE ' || made.oid::regclass || ' OWNER TO ' || held.relowner::regrole
    FROM pg_class AS held, pg_class AS made
    WHERE held.relnamespace = quote_ident(:serving)::regnamespace
      AND made.relnamespace = quote_ident(:shadow)::regnamespace
      AND held.relname = made.relname AND held.relname = ANY (:tables::text[]) AND held.relowner <> made.relowner
) AS steps
ORDER BY step
