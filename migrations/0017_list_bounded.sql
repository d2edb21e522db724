-- Lists that look at few jobs a call, whatever the history and the backlog hold. docs/store.md, "Lists".

-- Newest first among those that are scheduled.
CREATE INDEX scheduled_id ON joblog.scheduled (id);

-- Which pages hold which ids: with the index on labels it gives the jobs with a label within a range of ids, and no others. Some
-- kilobytes a month. On an expression, so that nothing else takes it for an index on the id. It remembers up to 16 values of each 32
-- pages and not their least and greatest alone: later rows fill holes of earlier pages, and one would make these pages a part of every
-- range.
CREATE INDEX job_place ON joblog.job USING brin ((id + 0) int8_minmax_multi_ops (values_per_range = 16)) WITH (pages_per_range = 32);

-- As it was in 0014, but that the index on labels is asked for a part of a month at a time. The first part is as wide as the share of
-- labels among the jobs that were looked at one by one suggests, each next one as the one before suggests; of labels that none of the
-- first jobs has, the first is the 256th part of what is left of the month.
CREATE OR REPLACE FUNCTION joblog.ids_by_labels(below bigint, from_id bigint, n int, statuses int, lanes int[], owner text,
                                                source_type text, source_id text, batch text, labels jsonb, reserved int[], own text,
                                                owners text[], direction text)
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
    -- id + 0: not the primary key, which would be read from end to end beside the index on labels, but job_place.
    asked constant text := 'SELECT j.id FROM joblog.%1$I j WHERE j.id + 0 < $1 AND j.id + 0 >= $2 AND ' || fits
        || 'ORDER BY j.id + 0 %3$s LIMIT $3';
    walked constant text := 'SELECT coalesce(array_agg(j.id ORDER BY j.id %3$s) FILTER (WHERE ' || fits || $q$), '{}'), count(*),
        min(j.id), max(j.id)
        FROM (SELECT * FROM joblog.%1$I k WHERE k.id < $1 AND k.id >= $2 ORDER BY k.id %3$s LIMIT $14) j $q$;
    up    constant boolean := direction = ' ASC';
    looks int := 200;
    width bigint; -- of a part, in ids
    month text;
    lo    bigint;
    hi    bigint;
    a     bigint;
    b     bigint;
    found bigint[];
    seen  int;
    got   int;
    first bigint;
    last  bigint;
BEGIN
    FOR month IN
        SELECT right(c.relname, 6) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'joblog.job'::regclass AND c.relname ~ '^job_[0-9]{6}$'
        ORDER BY CASE WHEN up THEN c.relname END, c.relname DESC
    LOOP
        lo := greatest(from_id, joblog.id_floor(to_date(month, 'YYYYMM')::timestamp AT TIME ZONE 'UTC'));
        hi := least(below, joblog.id_floor((to_date(month, 'YYYYMM') + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
        CONTINUE WHEN lo >= hi;
        BEGIN
            IF looks > 0 THEN
                EXECUTE format(walked, 'job_' || month, 'job_state_' || month, direction) INTO found, seen, first, last
                    USING hi, lo, n, statuses, lanes, owner, source_type, source_id, batch, labels, reserved, own, owners, looks;
                RETURN QUERY SELECT f.id FROM unnest(found) WITH ORDINALITY f(id, at) WHERE f.at <= n ORDER BY f.at;
                n := n - cardinality(found);
                CONTINUE WHEN seen < looks AND n > 0;
                looks := 0;
                IF up THEN
                    lo := last + 1;
                ELSE
                    hi := first;
                END IF;
                width := greatest(CASE WHEN cardinality(found) > 0 THEN (last - first) / cardinality(found) * (n + 16)
                                       ELSE (hi - lo) / 256 END, 1);
            END IF;
            WHILE n > 0 AND lo < hi LOOP
                a := CASE WHEN up OR width >= hi - lo THEN lo ELSE hi - width END;
                b := CASE WHEN NOT up OR width >= hi - lo THEN hi ELSE lo + width END;
                got := n;
                FOR last IN EXECUTE format(asked, 'job_' || month, 'job_state_' || month, direction)
                    USING b, a, n, statuses, lanes, owner, source_type, source_id, batch, labels, reserved, own, owners LOOP
                    RETURN NEXT last;
                    n := n - 1;
                END LOOP;
                IF up THEN
                    lo := b;
                ELSE
                    hi := a;
                END IF;
                got := got - n;
                width := CASE WHEN width >= 1::bigint << 56 THEN width WHEN got = 0 THEN width * 4
                              ELSE width * least((n + 8) / got + 1, 8) END;
            END LOOP;
        EXCEPTION WHEN undefined_table THEN
            NULL; -- the month has just been forgotten
        END;
        EXIT WHEN n <= 0;
    END LOOP;
END
$$;
