# A host that speaks the beginning of SCTP (RFC 9260) by raw sockets, whether its kernel has SCTP or not.
# serve PORT NUMBER: answers INIT with INIT ACK, whose initiate tag is NUMBER.
# ask ADDRESS PORT COUNT FIRST: associations from source ports FIRST on, one after the other; prints "<tag> <address that answers>" or "silence".
use strict; use warnings; use Socket;
my @table = map { my $c = $_; $c = $c & 1 ? 0x82F63B78 ^ ($c >> 1) : $c >> 1 for 1 .. 8; $c } 0 .. 255;
sub crc { my $c = 0xFFFFFFFF; $c = $table[($c ^ $_) & 0xFF] ^ ($c >> 8) for unpack 'C*', $_[0]; pack 'V', $c ^ 0xFFFFFFFF }
sub packet {
  my ($from, $to, $tag, $type, $own) = @_;
  my $chunk = pack 'CCnNNnnN', $type, 0, 20, $own, 65536, 1, 1, 1;
  my $head = pack 'nnN', $from, $to, $tag;
  return $head . crc($head . "\0\0\0\0" . $chunk) . $chunk;
}
sub hear { # source address, ports, tag, chunk type, initiate tag; nothing where the checksum is wrong
  my $s = shift; recv $s, my $data, 65535, 0;
  my $at = (ord($data) & 15) * 4; my $body = substr $data, $at;
  return if length $body < 32 || substr($body, 8, 4) ne crc(substr($body, 0, 8) . "\0\0\0\0" . substr $body, 12);
  return (inet_ntoa(substr $data, 12, 4), (unpack 'nnN', $body), (unpack 'x12 C', $body), unpack 'x16 N', $body);
}
$| = 1;
socket my $s, AF_INET, SOCK_RAW, 132 or die "socket: $!";
my $what = shift;
if ($what eq 'serve') {
  my ($port, $number) = @ARGV;
  print "ready\n";
  while (1) {
    my ($who, $from, $to, $tag, $type, $init) = hear($s) or next;
    next unless defined $init && $type == 1 && $to == $port;
    send $s, packet($port, $from, $init, 2, $number), 0, pack_sockaddr_in(0, inet_aton $who);
  }
}
my ($address, $port, $count, $first) = @ARGV;
for my $from ($first .. $first + $count - 1) {
  send $s, packet($from, $port, 0, 1, 7), 0, pack_sockaddr_in(0, inet_aton $address) or print("$!\n"), next;
  my $until = time + 10; my $said = 'silence';
  while (time < $until) {
    my $bits = ''; vec($bits, fileno $s, 1) = 1;
    select(my $ready = $bits, undef, undef, 1) or next;
    my ($who, undef, $to, $tag, $type, $init) = hear($s) or next;
    next unless defined $init && $to == $from && $type == 2 && $tag == 7;
    $said = "$init $who"; last;
  }
  print "$said\n";
}
