-- One page of ids, newest first: with labels. Month by month: see
-- the function. The direction is an order like any other, and is turned round with them.
-- $1 only below this id, $2 only from this id on, $3 how many at most; the rest restricts where it is not null: $4 bits of
-- statuses (0: any), $5 lanes, $6 owner, $7 source type, $8 source id, $9 batch, $10 labels. Rows: id.
-- The caller's scope: $11 lanes of which it sees only the owner $12's, $13 patterns (LIKE) of the owners of all other jobs.
SELECT i.id
FROM joblog.ids_by_labels($1::int8, $2::int8, $3::int, $4::int, $5::int[], $6::text, $7::text, $8::text, $9::text, $10::jsonb,
                          $11::int[], $12::text, $13::text[], ' DESC') i(id)
