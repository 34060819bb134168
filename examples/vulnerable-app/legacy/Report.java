package example;

import java.io.ObjectInputStream;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.Statement;

/** Reports, written badly on purpose. */
final class Report {
    Object load(java.io.InputStream in) throws Exception {
        return new ObjectInputStream(in).readObject();
    }

    void find(Connection connection, String name) throws Exception {
        Statement statement = connection.createStatement();
        statement.executeQuery("SELECT * FROM reports WHERE name = '" + name + "'");
        PreparedStatement safe = connection.prepareStatement("SELECT * FROM reports WHERE name = ?");
        safe.setString(1, name);
    }

    byte[] digest(byte[] text) throws Exception {
        return MessageDigest.getInstance("MD5").digest(text);
    }

    void open(String tool) throws Exception {
        Runtime.getRuntime().exec("open " + tool);
    }
}
