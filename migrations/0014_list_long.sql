-- Lists that stay quick whatever the history holds. docs/store.md, "Lists".

-- Failed and cancelled jobs of a name: those of all names may be many, and those of this one none.
CREATE INDEX job_state_bad_lane ON joblog.job_state (lane_id, status, id) WHERE status >= 4;

-- A page of ids of jobs with labels (list_by_labels.sql has the parameters), in the order ' DESC' or ' ASC'. The index on labels gives
-- all that have them at once and in no order, so it is asked month by month, until the page is full. Before that the first jobs are
-- looked at one by one: of a label that many jobs have they fill the page, and the index would give far too many.
CREATE FUNCTION joblog.ids_by_labels(below bigint, from_id bigint, n int, statuses int, lanes int[], owner text, source_type text,
                                     source_id text, batch text, labels jsonb, reserved int[], own text, owners text[], direction text)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    fits constant text := $q$
        j.labels @> $10
        AND ($5 IS NULL OR j.lane_id = ANY ($5))
        AND ($6 IS NULL OR j.owner = $6)
        AND ($7 IS NULL OR j.source_type = $7)
        AND ($8 IS NULL OR j.source_id = $8)
        AND ($9 IS NULL OR j.batch = $9)
        AND ($11 IS NULL OR j.lane_id <> ALL ($11) OR j.owner = $12)
        AND ($13 IS NULL OR j.lane_id = ANY ($11) OR coalesce(j.owner, '') LIKE ANY ($13))
        AND ($4 = 0 OR $4 >> (CASE WHEN EXISTS (SELECT FROM joblog.lease l WHERE l.job_id = j.id) THEN 2
                              ELSE coalesce((SELECT t.status FROM joblog.%2$I t WHERE t.id = j.id), 1) END) & 1 = 1) $q$;
    -- No condition on the id alone: the primary key would be read from end to end beside the index on labels.
    asked constant text := 'SELECT j.id FROM joblog.%1$I j WHERE j.id + 0 < $1 AND j.id + 0 >= $2 AND ' || fits
        || 'ORDER BY j.id + 0 %3$s LIMIT $3';
    walked constant text := 'SELECT coalesce(array_agg(j.id ORDER BY j.id %3$s) FILTER (WHERE ' || fits || $q$), '{}'), count(*),
        min(j.id), max(j.id)
        FROM (SELECT * FROM joblog.%1$I k WHERE k.id < $1 AND k.id >= $2 ORDER BY k.id %3$s LIMIT $14) j $q$;
    looks int := 2000;
    month text;
    found bigint[];
    seen  int;
    first bigint;
    last  bigint;
BEGIN
    FOR month IN
        SELECT right(c.relname, 6) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'joblog.job'::regclass AND c.relname ~ '^job_[0-9]{6}$'
        ORDER BY CASE WHEN direction = ' ASC' THEN c.relname END, c.relname DESC
    LOOP
        CONTINUE WHEN below <= joblog.id_floor(to_date(month, 'YYYYMM')::timestamp AT TIME ZONE 'UTC')
            OR from_id >= joblog.id_floor((to_date(month, 'YYYYMM') + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        BEGIN
            IF looks > 0 THEN
                EXECUTE format(walked, 'job_' || month, 'job_state_' || month, direction) INTO found, seen, first, last
                    USING below, from_id, n, statuses, lanes, owner, source_type, source_id, batch, labels, reserved, own, owners,
                    looks;
                RETURN QUERY SELECT f.id FROM unnest(found) WITH ORDINALITY f(id, at) WHERE f.at <= n ORDER BY f.at;
                n := n - cardinality(found);
                CONTINUE WHEN seen < looks AND n > 0;
                looks := 0;
                IF direction = ' ASC' THEN
                    from_id := last + 1;
                ELSE
                    below := first;
                END IF;
            END IF;
            EXIT WHEN n <= 0;
            FOR last IN EXECUTE format(asked, 'job_' || month, 'job_state_' || month, direction)
                USING below, from_id, n, statuses, lanes, owner, source_type, source_id, batch, labels, reserved, own, owners LOOP
                RETURN NEXT last;
                n := n - 1;
            END LOOP;
        EXCEPTION WHEN undefined_table THEN
            NULL; -- the month has just been forgotten
        END;
        EXIT WHEN n <= 0;
    END LOOP;
END
$$;
