# Both sides of a backup that is fetched, and a storage server with its client.
{
  services.b1000 = {
    enable = true;
    path = [ "/opt/tools" ];
    settings.global.parallel = 2;
    settings.storage.max_clients = 8;

    destinations.disk.path = "/srv/backup";
    destinations.vault = {
      type = "passive";
      host = "vault.example.org";
    };
    destinations.server = {
      path = "b1000://vault.example.org";
      tls_cert = "/run/secrets/b1000.crt";
      tls_key = "/run/secrets/b1000.key";
      tls_ca = "/run/secrets/ca.crt";
    };
    reports.central = {
      type = "mysql";
      server = "db.example.org";
      db = "b1000";
      user = "b1000";
      password_file = "$CREDENTIALS_DIRECTORY/db";
    };
    reports.file = {
      type = "file";
      path = "/var/lib/b1000/reports";
    };

    passive = {
      tls_cert = "/run/secrets/b1000.crt";
      tls_key = "/run/secrets/b1000.key";
      tls_ca = "/run/secrets/ca.crt";
    };
    jobs.web = {
      direction = "passive";
      dest = [ "vault" ];
      report = [ "file" ];
      pre = ''
        mkdir -p /srv/out
        # comments are left out by the program
        tar -C /var -czf /srv/out/www.tar.gz www
      '';
      share = "/srv/out";
      listen = 8730;
      on_demand = true;
    };
    jobs.fetch = {
      direction = "pull";
      hosts = [
        "web1"
        "web2"
      ];
      report_source = "rsync://$client:8730/reports";
      include = [ "rsync://$client:8730/share" ];
      dest = [ "disk" ];
      schedule = "03:00";
      persistent = false;
    };
    jobs.home = {
      include = [
        "/home"
        "/srv/my files"
      ];
      exclude_regex = [ "\\.cache/" ];
      dest = [ "server" ];
      report = [ "central" ];
      keep_daily = 7;
    };

    storage = {
      enable = true;
      path = "/tank/backup";
      openFirewall = true;
      tls_cert = "/run/secrets/server.crt";
      tls_key = "/run/secrets/server.key";
      tls_ca = "/run/secrets/ca.crt";
      clients.web1 = {
        ssl_peer_cn = "web1.example.org";
        keep_daily = 30;
        quota = "500G";
      };
    };
  };
}
