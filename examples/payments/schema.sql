-- The books: what is known of each payment, and how far the vendor's events were booked.
create table payments (
  id       text primary key,
  customer text not null,
  amount   bigint not null,
  status   text not null,
  -- The vendor's count of changes: an event that comes late changes nothing.
  version  int not null
);

create table booked (
  topic  text primary key,
  cursor text not null
);
