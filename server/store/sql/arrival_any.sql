-- Have jobs been dispatched from SQL that no server has seen yet? Row: 0 or 1.
SELECT EXISTS (SELECT FROM joblog.arrival)::int
