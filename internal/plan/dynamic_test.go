package plan

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestInstances(t *testing.T) {
	for _, tt := range []struct {
		name, options, output string
		want                  []string
		err                   string
	}{
		{"none", "", "", []string{""}, ""},
		{"written down", "instances = a b,3306", "", []string{"a", "b", "3306"}, ""},
		{"a script without !", "instances = /i", "a\nb\n", []string{"a", "b"}, ""},
		{"a script with !", "instances = !/i", "a, b", []string{"a", "b"}, ""},
		{"a script by way of an option", "instances = $scripts_dir/../i", "a", []string{"a"}, ""},
		{"nothing printed", "instances = /i", " \n", nil, `job "etc": instances: /i printed nothing`},
		{"only separators", "instances = /i", ",", nil, "names no instance"},
		{"a bad name", "instances = /i", "a ../b", nil, `"../b" is not a name`},
		{"a shell's metacharacter", "instances = /i", "a;reboot", nil, `"a;reboot" is not a name`},
		{"a name twice", "instances = /i", "a b a", nil, "a is named twice"},
		{"a script that fails", "instances = /missing", "", nil, "no such script"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, push("include = /etc\n"+tt.options))
			sh := &outputs{t: t, text: map[string]string{"/i": tt.output, "/opt/scripts/../i": tt.output}}
			got, err := Instances(context.Background(), c.Job("etc"), env(), sh.run)
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDynamicOptions(t *testing.T) {
	for _, tt := range []struct{ options, output, err string }{
		{"data_age = !x", "12", ""},
		{"data_age = 12", "", ""},
		{"data_age = !x", "", "job \"etc\": data_age: x printed nothing"},
		{"data_age = !x", "1.5", `data_age: "1.5" is not a number of seconds`},
		{"data_age = !x", "-1", `"-1" is not a number of seconds`},
		{"data_age = !x", "NULL", `"NULL" is not a number`},
		{"data_age = !y", "", "data_age: y: exit status 1: no such script"},
		{"master_host = !x", "", "master_host: x printed nothing"},
		{"master_host = !x", "../../etc", `"../../etc" is not a name`},
		{"master_host = !x", "a b", `"a b" is not a name`},
		{"master_instance = !x", ".", `"." is not a name`},
		{"master_instance = $host", "", ""},
		{"master_instance = $instance", "", "master_instance:"},
	} {
		c := load(t, push("include = /etc\n"+tt.options))
		sh := &outputs{t: t, text: map[string]string{"x": tt.output}}
		_, err := New(context.Background(), c.Job("etc"), "", env(), sh.run)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s (%q): %v", tt.options, tt.output, err)
		}
	}
}
