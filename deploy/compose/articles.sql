-- One table of two tenants. The tenant is part of the primary key, so every change event tells whose row it is.
create table articles (
  tenant    text        not null,
  id        bigint      not null,
  title     text        not null,
  content   text,
  tags      jsonb,
  published timestamptz,
  url       text,
  primary key (tenant, id)
);

insert into articles (tenant, id, title, content, tags, published, url) values
  ('acme', 1, 'When a parcel is late', 'Ask the carrier first; after five days the price is refunded.',
   '["delivery", "refund"]', '2026-01-05T09:00:00Z', 'https://example.com/acme/1'),
  ('acme', 2, 'Sending something back', 'Returns are free for thirty days, in the box it came in.',
   '["returns"]', '2026-01-06T09:00:00Z', 'https://example.com/acme/2'),
  ('globex', 1, 'Opening hours', 'The workshop is open from eight to five, and never on Sundays.',
   '["hours"]', '2026-01-07T09:00:00Z', 'https://example.com/globex/1');
