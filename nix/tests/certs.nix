# Certificates for the test of a whole network: an authority, the hosts that it
# knows, and a host that it knows and that is nobody's client.
{ pkgs }:
pkgs.runCommand "b1000-test-certificates" { nativeBuildInputs = [ pkgs.openssl ]; } ''
  mkdir $out
  cd $out
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=test authority" -keyout ca.key -out ca.crt
  for host in client storage pull stranger; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$host" -keyout $host.key -out $host.csr
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' $host > $host.ext
    openssl x509 -req -in $host.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile $host.ext -out $host.crt
  done
''
