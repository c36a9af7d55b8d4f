# The options of services.b1000. Jobs, destinations, reports, streams and the
# storage server's clients are sections of b1000.cfg(5) and use its words: what
# is not declared here can be given all the same.
{ lib, pkgs }:
let
  inherit (lib) mkEnableOption mkOption types;
  ini = import ./ini.nix { inherit lib; };

  # A file that never is in the store, or a credential of the service.
  secretFile =
    types.either (types.strMatching "[$]CREDENTIALS_DIRECTORY/[^/]+")
      (types.externalPath or (types.pathWith {
        inStore = false;
        absolute = true;
      }));

  names = types.listOf (types.strMatching "[A-Za-z0-9][-_.A-Za-z0-9]*");
  duration = types.either types.ints.unsigned (types.strMatching "([0-9]+[smhdw])+|[0-9]+");

  unset =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };

  list =
    type: example: description:
    mkOption {
      inherit type example description;
      default = [ ];
    };

  keep = {
    keep = unset types.ints.positive 10 "How many complete backups are kept.";
    keep_daily = unset types.ints.positive 14 "For how many days the last backup is kept.";
    keep_weekly = unset types.ints.positive 8 "For how many weeks the last backup is kept.";
    keep_monthly = unset types.ints.positive 12 "For how many months the last backup is kept.";
    keep_yearly = unset types.ints.positive 5 "For how many years the last backup is kept.";
    keep_within = unset duration "48h" "Every backup that is not older than this is kept.";
  };

  tls = {
    tls_cert = unset secretFile "/var/lib/b1000-tls/host.crt" "Certificate of this host, a file outside the store.";
    tls_key = unset secretFile "/run/secrets/b1000.key" "Private key of this host, a file outside the store.";
    tls_ca = unset secretFile "/var/lib/b1000-tls/ca.crt" "Authority that the other end's certificate must come from, a file outside the store.";
  };

  passwordFile =
    unset secretFile "/run/secrets/vault.password"
      "File that holds the password, outside the store, readable only by root.";

  sections =
    description: example: options:
    mkOption {
      type = types.attrsOf (
        types.submodule {
          freeformType = ini.section;
          inherit options;
        }
      );
      default = { };
      inherit description example;
    };

  job = keep // tls // {
    direction = mkOption {
      type = types.enum [
        "push"
        "passive"
        "pull"
      ];
      default = "push";
      example = "pull";
      description = "Who moves the data: this host sends it, waits for it to be fetched, or fetches it.";
    };
    type = mkOption {
      type = types.enum [
        "full"
        "sync"
      ];
      default = "full";
      example = "sync";
      description = "A new directory for each run, unchanged files linked to the last one, or one directory that is kept equal to the source. Passive jobs have none.";
    };
    dest = list (types.listOf types.str) [ "disk&" "vault/nas" ] "Destinations in their order; `a/b` in random order, `a&` in the background.";
    report = list names [ "central" ] "Where the run is reported; an SQLite file of this host where empty.";
    streams = list names [ "shop-database" ] "Streams whose output is stored with the backup.";
    include = list (types.listOf types.str) [ "/etc" "/home" ] "Files and directories to store; globs are expanded after `pre`. `$instance`, `$host` and the like are filled in; `$$` is a dollar sign.";
    exclude = list (types.listOf types.str) [ "*.tmp" "/home/*/.cache" ] "Patterns of rsync for what is left out.";
    instances = unset (types.either types.str names) [ "3306" "3307" ] "Instances that the job is run for, or a command that prints them (a string that begins with `!` or `/`).";
    pre = unset types.lines "pg_dumpall -f /var/backup/all.sql" "Command for the shell, run before the copies; its failure ends the run. Programs are found by {option}`services.b1000.path`. Variables of the shell need two dollar signs. Where it is longer than a line, `pkgs.writeShellScript` makes a file of it.";
    post = unset types.lines "rm -f /var/backup/all.sql" "Command for the shell, run after the copies.";
    on_failure = unset types.lines "logger -p user.err \"backup of $name failed\"" "Command for the shell, run when the run has failed.";
    schedule = unset types.str "Mon..Fri 02:30" "When the job runs, as a calendar event of {manpage}`systemd.time(7)`; never by itself where not set.";
    randomized_delay = unset duration "30m" "Random delay of each start, up to this.";
    persistent = unset types.bool false "Whether a start that was missed while the host was off is made up for; yes where not set.";
    max_age = unset duration "3d" "Age at which the last good backup is too old; twice the schedule's interval where not set.";
    timeout = unset duration "6h" "Limit of the whole run; none where not set.";
    require_mount = list (types.listOf types.str) [ "/srv/data" ] "Mount points without which the run fails.";
    one_file_system = unset types.bool true "Whether to stay on the filesystem of each include.";
    relative = unset types.bool true "Whether the whole path of each include is stored.";
    hosts = list names [ "web1" "web2" ] "Pull: clients that are fetched from, side by side; `$client` is each of them.";
    report_source = unset types.str "rsync://$client:8730/reports" "Pull: rsync location of the client's report directory.";
    listen = unset (types.either types.port types.str) 8730 "Passive: address and port where this host serves report directory and share itself.";
    share = unset types.str "/srv/out" "Passive: directory that is served read-only to the pulling host.";
    on_demand = unset types.bool true "Passive: whether a pull that connects while no run waits starts one.";
  };

  destination = keep // tls // {
    type = mkOption {
      type = types.enum [
        "active"
        "passive"
        "restic"
      ];
      default = "active";
      example = "restic";
      description = "A place to store at, a host that will fetch, or a restic repository.";
    };
    path = unset types.str "rsync://backup@vault/b1000" "`/directory`, `rsync://host/module`, `host:/directory` (by ssh) or `b1000://host` (a storage server).";
    host = unset types.str "vault.example.org" "Passive: host that fetches the data.";
    repository = unset types.str "s3:https://s3.example.org/bucket" "restic: repository as restic names it.";
    environment_file = unset secretFile "/run/secrets/restic.env" "restic: file of `NAME=value` lines, outside the store.";
    password_file = passwordFile;
    exclude = list (types.listOf types.str) [ "*.iso" ] "Patterns for what is left out here.";
    bwlimit = unset (types.either types.ints.positive types.str) "2M" "Limit of the bandwidth, as rsync takes it.";
  };

  report = {
    type = mkOption {
      type = types.enum [
        "sqlite"
        "mysql"
        "file"
      ];
      default = "sqlite";
      example = "mysql";
      description = "A database file, a database server, or report files.";
    };
    path = unset types.str "/var/lib/b1000/reports.db" "Database file, or directory of the report files, which is made.";
    server = unset types.str "db.example.org" "mysql: host of the database.";
    db = unset types.str "b1000" "mysql: name of the database.";
    user = unset types.str "b1000" "mysql: user of the database.";
    password_file = passwordFile;
  };

  stream = {
    type = mkOption {
      type = types.enum [
        "command"
        "mongodb"
        "mysql"
        "mariadb"
        "postgresql"
        "sqlite"
      ];
      default = "command";
      example = "postgresql";
      description = "Which program makes the stream.";
    };
    command = unset types.lines "zfs send tank/data@backup" "Command whose standard output is stored.";
    restore_command = unset types.lines "zfs receive tank/restored" "Command that takes the stored stream on standard input.";
    db = list (types.listOf types.str) [ "shop" ] "Databases to dump; all where empty.";
    path = unset types.str "/var/lib/grafana/data/grafana.db" "sqlite: database file.";
    password_file = passwordFile;
  };

  client = keep // {
    ssl_peer_cn = mkOption {
      type = types.str;
      example = "web1.example.org";
      description = "Common name or DNS name that the client's certificate must bear.";
    };
    quota = unset (types.either types.ints.positive (types.strMatching "[0-9]+[KMGT]?")) "500G" "How much the client may store.";
    allow = list (types.listOf (
      types.enum [
        "backup"
        "list"
        "show"
        "restore"
        "verify"
        "delete"
      ]
    )) [ "backup" "list" ] "What the client may ask for; backup, list, show and restore where empty.";
  };
in
{
  enable = mkEnableOption "B1000, backups to several places at once";

  package = lib.mkPackageOption pkgs "b1000" { example = "pkgs.b1000.override { openssh = pkgs.openssh_hpn; }"; };

  checkConfig = mkOption {
    type = types.bool;
    default = true;
    example = false;
    description = "Whether the configuration is checked while the system is built. It cannot be where it refers to sections of {file}`/etc/b1000/conf.d`.";
  };

  path = mkOption {
    type = types.listOf (types.either types.package types.str);
    default = [ ];
    example = lib.literalExpression "[ pkgs.postgresql ]";
    description = "Packages whose programs the jobs' scripts call by name. Those of the system profile and of the security wrappers are found as well.";
  };

  settings = mkOption {
    type = types.submodule {
      freeformType = types.attrsOf ini.section;
      options.global = mkOption {
        type = types.submodule {
          freeformType = ini.section;
          options = {
            log_level = unset (types.enum [
              "DEBUG"
              "INFO"
              "WARNING"
              "ERROR"
              "FATAL"
            ]) "WARNING" "The least severe messages that are logged.";
            parallel = unset types.ints.positive 8 "How many jobs and instances are at work at once; 4 where not set.";
          };
        };
        default = { };
        example.parallel = 8;
        description = "Section `[global]`.";
      };
    };
    default = { };
    example.global.copy_retries = 5;
    description = ''
      Sections of {manpage}`b1000.cfg(5)` by their titles, as they are written there. Jobs, destinations,
      reports, streams and the storage server become sections of it, and have options of their own here.

      The text ends in the store, where everybody may read it. Sections that hold a secret go into
      {file}`/etc/b1000/conf.d/NAME.cfg`, mode 0600, written by whatever brings secrets to this host.
    '';
  };

  jobs = sections "Backup jobs by name, sections `[job:NAME]`." {
    etc = {
      include = [ "/etc" ];
      dest = [ "disk" ];
      schedule = "02:30";
      keep_daily = 14;
    };
  } job;

  destinations = sections "Where backups are stored, sections `[dest:NAME]`." {
    disk.path = "/srv/backup";
  } destination;

  reports = sections "Where runs are reported, sections `[report:NAME]`." {
    central = {
      type = "mysql";
      server = "db.example.org";
      db = "b1000";
      user = "b1000";
      password_file = "/run/secrets/b1000-db";
    };
  } report;

  streams = sections "Dumps that are stored without temporary space, sections `[stream:NAME]`." {
    shop.command = "pg_dump shop";
  } stream;

  passive = {
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the ports on which passive jobs listen are opened in the firewall.";
    };
  } // tls;

  storage = {
    enable = mkEnableOption "the storage server, which other hosts send their backups to";
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the server's port is opened in the firewall.";
    };
    path = mkOption {
      type = types.str;
      default = "/srv/b1000";
      example = "/tank/backup";
      description = "Directory that holds the backups of all clients. It is made where it is not there; what is mounted there is waited for.";
    };
    port = mkOption {
      type = types.port;
      default = 4200;
      example = 4300;
      description = "Port to listen on.";
    };
    address = unset types.str "192.0.2.10" "Address to listen on; every one of this host where not set.";
    status_address = mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "192.0.2.10";
      description = "Address at which the server tells how it stands, to people and to Prometheus. Whoever reaches it may read it.";
    };
    status_port = mkOption {
      type = types.port;
      default = 4201;
      example = 4301;
      description = "Port of the same.";
    };
    clients = sections "Who may store here: a file in `clients_dir` for each. Nobody is admitted who is not one of them." {
      web1 = {
        ssl_peer_cn = "web1.example.org";
        keep_daily = 30;
        quota = "500G";
      };
    } client;
  } // keep // tls;

  textfile = {
    enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether each run writes metrics for node_exporter's textfile collector.";
    };
    directory = mkOption {
      type = types.strMatching "/.+";
      default = "/var/lib/b1000-metrics";
      example = "/var/lib/prometheus-node-exporter-text-files";
      description = "Directory of the metrics. It is made, open to readers.";
    };
    configureExporter = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether {option}`services.prometheus.exporters.node`, where it is enabled, is told to collect them.";
    };
  };
}
