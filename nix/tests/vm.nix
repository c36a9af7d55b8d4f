# A network of hosts, each a virtual machine: a client that stores on its own disk
# and on a storage server, a host that fetches from it, and a stranger.
{ module }:
let
  # Keys come to a host otherwise than by the store; here they are copied at boot.
  tls =
    { pkgs, name }:
    let
      certs = import ./certs.nix { inherit pkgs; };
    in
    {
      environment.etc."b1000-tls/ca.crt".source = "${certs}/ca.crt";
      environment.etc."b1000-tls/host.crt".source = "${certs}/${name}.crt";
      environment.etc."b1000-tls/host.key" = {
        source = "${certs}/${name}.key";
        mode = "0400";
      };
    };
  files = {
    tls_ca = "/etc/b1000-tls/ca.crt";
    tls_cert = "/etc/b1000-tls/host.crt";
    tls_key = "/etc/b1000-tls/host.key";
  };

  # Whoever stores at the storage server.
  sender = name: { pkgs, ... }: {
    imports = [
      module
      (tls { inherit pkgs name; })
    ];
    services.b1000 = {
      enable = true;
      destinations.server = files // {
        path = "b1000://storage";
      };
      jobs.vault = {
        include = [ "/srv/data" ];
        dest = [ "server" ];
        copy_retries = 0;
      };
    };
    systemd.tmpfiles.rules = [
      "d /srv/data 0755 root root -"
      "f /srv/data/file 0640 root root - precious"
      "L /srv/data/link - - - - file"
      "d /srv/backup 0700 root root -"
    ];
  };
in
{
  name = "b1000";

  nodes.client = {
    imports = [ (sender "client") ];
    services.b1000 = {
      destinations.disk.path = "/srv/backup";
      jobs.data = {
        include = [ "/srv/data" ];
        dest = [ "disk" ];
        schedule = "02:30";
        keep_daily = 3;
      };

      destinations.pull = {
        type = "passive";
        host = "pull";
      };
      reports.file = {
        type = "file";
        path = "/var/lib/b1000/reports";
      };
      passive = files // {
        openFirewall = true;
      };
      jobs.web = {
        direction = "passive";
        dest = [ "pull" ];
        report = [ "file" ];
        pre = "mkdir -p /srv/out && cp /srv/data/file /srv/out/";
        share = "/srv/out";
        listen = 8730;
        on_demand = true;
      };
      textfile.enable = true;
    };
    services.prometheus.exporters.node.enable = true;

    # Another configuration of the same host, to switch to.
    specialisation.other.configuration = {
      services.b1000.jobs.more = {
        include = [ "/srv/data" ];
        dest = [ "disk" ];
        schedule = "04:00";
      };
    };
  };

  nodes.stranger.imports = [ (sender "stranger") ];

  nodes.storage =
    { pkgs, ... }:
    {
      imports = [
        module
        (tls {
          inherit pkgs;
          name = "storage";
        })
      ];
      services.b1000 = {
        enable = true;
        storage = files // {
          enable = true;
          openFirewall = true;
          clients.client = {
            ssl_peer_cn = "client";
            keep_daily = 3;
          };
        };
      };
    };

  nodes.pull =
    { pkgs, ... }:
    {
      imports = [
        module
        (tls {
          inherit pkgs;
          name = "pull";
        })
      ];
      services.b1000 = {
        enable = true;
        destinations.disk.path = "/srv/backup";
        jobs.web = files // {
          direction = "pull";
          hosts = [ "client" ];
          report_source = "rsync://$client:8730/reports";
          include = [ "rsync://$client:8730/share" ];
          dest = [ "disk" ];
          report_poll_wait = 1;
        };
      };
      systemd.tmpfiles.rules = [ "d /srv/backup 0700 root root -" ];
    };

  testScript =
    { nodes, ... }:
    ''
      BACKUPS = "cd /srv/backup/data && ls -d */client-*"


      def backups():
          return client.succeed(BACKUPS).split()


      def restored(machine, job, to):
          machine.succeed(f"b1000ctl restore {job}@latest --to {to}")


      start_all()
      for machine in [client, pull, stranger, storage]:
          machine.wait_for_unit("multi-user.target")

      with subtest("the configuration is right on the host as well"):
          client.succeed("b1000ctl check")
          client.succeed("systemctl is-active b1000@data.timer b1000-passive@web.socket")
          client.fail("systemctl --failed --no-legend | grep b1000")

      with subtest("a backup, and back"):
          client.succeed("systemctl start b1000@data")
          restored(client, "data", "/root/back")
          client.succeed("rsync -aHAXni --delete /srv/data/ /root/back/data/ > /root/differences")
          client.succeed("test ! -s /root/differences")

      with subtest("a timer that is due, and what is kept, over days"):
          for day in range(1, 6):
              before = set(backups())
              client.succeed(f"echo day {day} > /srv/data/day")
              client.succeed("date --set=\"$(date --date='tomorrow 02:29:58' +'%F %T')\"")
              client.wait_until_succeeds("systemctl show -P ActiveState b1000@data | grep -x inactive")
              client.wait_until_succeeds(f"{BACKUPS} | grep -vxF '{chr(10).join(before)}'")
              client.wait_until_succeeds("b1000ctl status data | grep -w ok")
          assert len(backups()) == 3, backups()
          client.succeed("b1000ctl list data | grep -c complete | grep -x 3")
          restored(client, "data", "/root/later")
          assert client.succeed("cat /root/later/data/day") == "day 5\n"
          # The others follow: certificates and schedules agree.
          now = client.succeed("date +'%F %T'").strip()
          for machine in [pull, stranger, storage]:
              machine.succeed(f"date --set='{now}'")

      with subtest("metrics"):
          client.wait_for_unit("prometheus-node-exporter")
          client.wait_until_succeeds("curl -sf localhost:9100/metrics | grep b1000_")

      with subtest("the storage server admits its client"):
          storage.wait_for_unit("b1000-storage.socket")
          storage.wait_for_open_port(${toString nodes.storage.services.b1000.storage.port})
          client.succeed("systemctl start b1000@vault")
          restored(client, "vault", "/root/vault")
          client.succeed("cmp /srv/data/file /root/vault/data/file")
          assert storage.succeed("stat -c %a /srv/b1000").strip() in ["700", "750"]

      with subtest("and nobody else"):
          stranger.fail("systemctl start b1000@vault")
          stranger.fail("b1000ctl list vault | grep complete")
          storage.fail("find ${nodes.storage.services.b1000.storage.path} -path '*stranger*' | grep .")

      with subtest("a host that fetches"):
          pull.succeed("systemctl start b1000@web")
          pull.succeed("cat /srv/backup/web/*/client-*/file | grep -x precious")
          client.wait_until_succeeds("b1000ctl status web | grep -w ok")

      with subtest("a switch starts what is new, and keeps what is there"):
          client.succeed("/run/current-system/specialisation/other/bin/switch-to-configuration test")
          client.wait_for_unit("b1000-reload.service")
          client.succeed("systemctl is-active b1000@data.timer b1000@more.timer")
          client.succeed("/run/booted-system/bin/switch-to-configuration test")
          client.wait_until_fails("systemctl is-active b1000@more.timer")
          client.succeed("systemctl is-active b1000@data.timer")
    '';
}
