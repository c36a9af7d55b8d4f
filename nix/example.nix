# What the configuration of a host can look like: it stores its own files on a
# disk and on a server, and tells Prometheus.
{
  services.b1000 = {
    enable = true;

    destinations.disk.path = "/srv/backup";
    destinations.vault = {
      path = "rsync://backup@vault.example.org/b1000";
      password_file = "/run/secrets/vault.password";
      keep_daily = 30;
    };

    jobs.etc = {
      include = [
        "/etc"
        "/srv/data"
      ];
      exclude = [ "*.tmp" ];
      dest = [ "disk" ];
      schedule = "02:30";
      keep_daily = 14;
    };

    jobs.shops = {
      instances = [
        "rome"
        "oslo"
      ];
      pre = ''
        mkdir -p /var/lib/b1000/work
        echo "dump of $instance" > /var/lib/b1000/work/$instance.sql
      '';
      include = [ "/var/lib/b1000/work/$instance.sql" ];
      dest = [ "disk&" "vault" ];
      schedule = "Mon..Fri 03:00";
      copy_retries = 5;
    };

    textfile.enable = true;
  };

  services.prometheus.exporters.node.enable = true;
}
