-- name: size
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = :namespace AND relname = ANY (:tables::text[])

-- name: versions
SELECT version FROM schema_migration WHERE set_name = 'scores' ORDER BY version

-- name: attached
-- Indexes and triggers of the tables that their migrations do not make.
WITH held AS (
    SELECT pg_class.oid, relname, nspname = :shadow AS is_shadow
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN (:namespace, :shadow) AND relname = ANY (:tables::text[])
), attached AS (
    SELECT 'index ' || made.relname || ' on ' || held.relname AS name, is_shadow
    FROM held JOIN pg_index ON indrelid = held.oid JOIN pg_class AS made ON made.oid = indexrelid
    UNION ALL
    SELECT 'trigger ' || tgname || ' on ' || held.relname, is_shadow
    FROM held JOIN pg_trigger ON tgrelid = held.oid AND NOT tgisinternal
)
SELECT name FROM attached WHERE NOT is_shadow
EXCEPT
SELECT name FROM attached WHERE is_shadow
ORDER BY name

-- name: hindrances
-- What the swap could neither carry over nor drop: materialized views of the tables, and foreign keys to them.
WITH rebuilt AS (
    SELECT pg_class.oid
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = :namespace AND relname = ANY (:tables::text[])
)
SELECT dependent.oid::regclass::text AS name
FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid AND classid = 'pg_rewrite'::regclass
JOIN pg_class AS dependent ON dependent.oid = ev_class
WHERE refobjid IN (SELECT oid FROM rebuilt) AND relkind = 'm'
UNION
SELECT conname::text FROM pg_constraint WHERE confrelid IN (SELECT oid FROM rebuilt)
ORDER BY name

-- name: superfluous
-- Statements that drop from a migrated schema all but some tables: views first, since they depend on the rest.
SELECT statement
FROM (
    SELECT CASE relkind WHEN 'v' THEN 1 ELSE 3 END AS step,
           CASE relkind WHEN 'v' THEN 'DROP VIEW ' ELSE 'DROP TABLE ' END || pg_class.oid::regclass || ' CASCADE'
               AS statement
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = :namespace
      AND (relkind = 'v' OR relkind IN ('r', 'p') AND NOT relispartition AND relname <> ALL (:tables::text[]))
    UNION ALL
    SELECT 2, 'DROP FUNCTION ' || pg_proc.oid::regprocedure || ' CASCADE'
    FROM pg_proc
    JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname = :namespace
) AS steps
ORDER BY step, statement DESC
