# note+release: a line of the journal that is sure, then the lock is given back.
sub are_told { # whether of each command that ended somebody was told
    opendir(my $commands, "$state/commands") or return;
    !grep { -e "$state/commands/$_/unseen" } readdir $commands;
}
sub end {
    receive();
    my ($kind, $about, $data, @more) = split /\n/, $header;
    my $one = alone($state) or leave();
    my $last = last_line();
    leave() if @more || "$data" !~ /^\{.*\}\z/ || !defined $last || !are_told() || (readlink $lock || '') !~ /^run=\Q$run\E /;
    ($previous) = sums($last) or leave() if $last ne '';
    my $note = entry($previous, $kind, $about, $data);
    # Half a line host.sh sets aside. One that may not be sure is none to wait for: the lock is given back.
    fill($journal, $APPEND, $note) or leave();
    flush($journal);
    close $one;
    $one = alone($project) and unlink $lock;
    answer(0, "released\nlast $note");
}

end();
