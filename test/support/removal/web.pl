# A web server as careless as programs are: it dies at once on SIGTERM, whatever it was about to say. HTTP/1.1 with keep-alive on port 8080;
# `GET /<ms>` is answered after so many milliseconds. Its last words tell how many requests it had read and not answered.
my $name = $ENV{NAME} // 'web';
my (%in, %out, @owed, %socket);
sub now { my $t = pack('x16'); syscall(228, 1, $t); my ($s, $n) = unpack('q q', $t); return $s * 1000 + $n / 1e6 }
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { syswrite(STDOUT, 'unanswered ' . scalar(@owed) . "\n"); syscall(231, 0) };
socket(my $listen, 2, 1, 0) or die $!;
setsockopt($listen, 1, 2, 1);
bind($listen, pack('S n a4 x8', 2, 8080, "\0\0\0\0")) or die $!;
listen($listen, 1024) or die $!;
my $all = '';
vec($all, fileno($listen), 1) = 1;
my $own = fileno($listen);
sub forget { my $fd = shift; vec($all, $fd, 1) = 0; close($socket{$fd}); delete $socket{$fd}; delete $in{$fd}; @owed = grep { $_->[1] != $fd } @owed }
sub answer { my $fd = shift; return unless $socket{$fd}; syswrite($socket{$fd}, "HTTP/1.1 200 OK\r\nContent-Length: " . length($name) . "\r\n\r\n$name") }
while (1) {
  my $wait = undef;
  if (@owed) { $wait = ($owed[0][0] - now()) / 1000; $wait = 0 if $wait < 0 }
  my $ready = $all;
  my $n = select($ready, undef, undef, $wait);
  my $now = now();
  while (@owed && $owed[0][0] <= $now) { my $due = shift @owed; answer($due->[1]) }
  next if $n <= 0;
  if (vec($ready, $own, 1)) {
    if (accept(my $client, $listen)) { my $fd = fileno($client); setsockopt($client, 6, 1, 1); $socket{$fd} = $client; $in{$fd} = ''; vec($all, $fd, 1) = 1 }
  }
  for my $fd (keys %socket) {
    next unless vec($ready, $fd, 1);
    my $got = sysread($socket{$fd}, $in{$fd}, 4096, length($in{$fd}));
    if (!$got) { forget($fd); next }
    while ($in{$fd} =~ s/^GET \/(\d*)[^\r]*\r\n.*?\r\n\r\n//s) {
      if ($1) { push @owed, [now() + $1, $fd]; @owed = sort { $a->[0] <=> $b->[0] } @owed }
      else { answer($fd) }
    }
  }
}
