-- The shop's own database. Millrace knows nothing of it but what it captures.
create type order_status as enum ('placed', 'paid', 'packed', 'shipped', 'delivered');

create table customers (
  id   bigint generated always as identity primary key,
  name text not null,
  city text not null
);

create table products (
  id       bigint generated always as identity primary key,
  name     text not null,
  category text not null,
  price    numeric(10, 2) not null
);

create table orders (
  id          bigint generated always as identity primary key,
  customer_id bigint not null references customers,
  status      order_status not null default 'placed',
  placed_at   timestamptz not null default now()
);

create table order_lines (
  order_id   bigint not null references orders on delete cascade,
  line       int not null,
  product_id bigint not null references products,
  quantity   int not null check (quantity > 0),
  price      numeric(10, 2) not null,
  primary key (order_id, line)
);
create index on order_lines (product_id);

insert into customers (name, city)
select first || ' ' || last, city
from unnest(array['Ada', 'Grace', 'Edsger', 'Barbara', 'Tony', 'Frances', 'Donald', 'Radia', 'Leslie', 'Shafi']) with ordinality f (first, i),
     unnest(array['Lovell', 'Hopkins', 'Dykstra', 'Lister', 'Hoar', 'Allen', 'Knoth', 'Perl', 'Lampton', 'Goldwater']) with ordinality l (last, j),
     lateral (select (array['Lisbon', 'Oslo', 'Turin', 'Ghent', 'Graz', 'Cork', 'Tartu'])[1 + (i * 3 + j * 5) % 7] as city) c
where (i + j) % 2 = 0;

insert into products (name, category, price) values
  ('Espresso cup', 'Kitchen', 9.50), ('Bread knife', 'Kitchen', 34.00), ('Cast-iron pan', 'Kitchen', 58.90),
  ('Linen towel', 'Home', 14.25), ('Wool blanket', 'Home', 89.00), ('Desk lamp', 'Home', 64.50),
  ('Field notes', 'Paper', 7.80), ('Fountain pen', 'Paper', 45.00), ('Blotting paper', 'Paper', 3.20),
  ('Trail map', 'Outdoors', 12.00), ('Tin kettle', 'Outdoors', 27.40), ('Head torch', 'Outdoors', 39.90);
