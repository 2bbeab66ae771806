-- The tutorial's table, and its trigger: the bare title goes to the channel `addedrecord`.
create table realtime (id serial primary key, title varchar(128));

create function tell_added_record() returns trigger language plpgsql as $$
begin
  perform pg_notify('addedrecord', new.title);
  return new;
end $$;

create trigger tell_added_record after insert on realtime for each row execute function tell_added_record();
