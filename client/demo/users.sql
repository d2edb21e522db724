-- The demo's data set: a table as a real service has one, with names from several languages, commas and quotes in the
-- text, empty values and dates. Made from the row number by arithmetic, so that every run has the same rows.
-- psql -v rows=N -f users.sql
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
DROP TABLE IF EXISTS public.users;
CREATE TABLE public.users (
    id          bigint PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL,
    department  text NOT NULL,
    status      text NOT NULL,
    birth_date  date NOT NULL,
    created_at  timestamptz NOT NULL,
    last_login  timestamptz,
    note        text
);
INSERT INTO public.users
SELECT n,
       first || ' ' || last,
       lower(translate(first || '.' || last, 'áéíóúüößøåłçñÁÉÍÓÚÜÖØÅŁÇÑ'' ', 'aeiouuosoalcnAEIOUUOOALCN')) || n || '@' ||
           (ARRAY['example.com', 'example.org', 'mail.example.net'])[1 + n % 3],
       (ARRAY['Sales', 'Engineering', 'Legal', 'Research & Development', 'Support, 2nd level', 'Finanzen',
              'Atención al cliente'])[1 + (n * 7 + n / 11) % 7],
       (ARRAY['active', 'active', 'active', 'invited', 'suspended'])[1 + (n * 3 + n / 5) % 5],
       date '1950-01-01' + ((n * 7919) % 20000)::integer,
       timestamptz '2020-01-01 00:00:00+00' + (n * 37 % 190000000) * interval '1 second',
       CASE WHEN n % 9 = 0 THEN NULL
            ELSE timestamptz '2026-01-01 00:00:00+00' - (n * 101 % 30000000) * interval '1 second' END,
       CASE n % 6 WHEN 0 THEN NULL
                  WHEN 1 THEN ''
                  WHEN 2 THEN 'prefers "morning" calls, not evenings'
                  WHEN 3 THEN 'büro: 3. Stock, links'
                  WHEN 4 THEN '=SUM(A1:A9) is what she typed, "as is"'
                  ELSE '東京, または大阪' END
FROM (SELECT n,
             (ARRAY['Ana', 'John', 'José', 'Müge', 'Łukasz', 'Søren', 'Zoë', 'Björn', 'Chloé', 'Nguyễn', 'Мария', '李',
                    'Siobhán', 'Johnny', 'Amélie', 'Iñigo', 'Fatima', 'Ravi', 'Olga', 'Kofi', 'Grace', 'Mehmet',
                    'Yuki'])[1 + (n * 13 + n / 23) % 23] AS first,
             (ARRAY['García', 'Müller', 'O''Neill', 'Johnson', 'Smith, Jr.', 'Kowalski', 'Østergård', 'Dubois', 'Tanaka',
                    'Иванова', '王', 'Núñez', 'Silva', 'de la Cruz', 'Okafor', 'Brown', 'Johnsson', 'Rossi', 'Larsen',
                    'Singh', 'Yılmaz', 'Nowak', 'Costa', 'Weiß', 'Andersson', 'Kim', 'Haddad', 'Novák', 'Papadopoulos'
                   ])[1 + (n * 17 + n / 29) % 29] AS last
      FROM generate_series(1, :rows) AS n) AS made;
ANALYZE public.users;
