-- A CHECK constraint is made ready anew for each statement that writes its table, whatever it changes: of the 14 microseconds
-- that PostgreSQL took to write a replica's row, as each batch does, 7 went into the one of its number. Nothing
-- but an INSERT gives a number, so that is when it is looked at. (A trigger before an UPDATE of this column would lock the row first,
-- whatever column is written.)

ALTER TABLE joblog.replica DROP CONSTRAINT replica_number_check;

CREATE FUNCTION joblog.refuse_replica_number() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING MESSAGE = format('a replica''s number is from 0 to 255, not %s', NEW.number);
END
$$;

CREATE TRIGGER replica_number BEFORE INSERT ON joblog.replica
    FOR EACH ROW WHEN (NEW.number NOT BETWEEN 0 AND 255) EXECUTE FUNCTION joblog.refuse_replica_number();
