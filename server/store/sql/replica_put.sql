-- Marks a batch as committed, in its own transaction: after a lost connection the mark tells whether it was.
-- $1 number, $2 batch, $3 largest id given so far, $4 time.
UPDATE joblog.replica SET batch = $2::int8, last_id = $3::int8, seen_time = $4::timestamptz WHERE number = $1::int
